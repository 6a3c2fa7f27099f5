//! One spelling for definitions that mean the same.
//!
//! What pg_dump wrote is not always read back as it was. A list of literals that is compared with a `varchar` is printed as an
//! array that is cast, `(ARRAY['a'::…])::text[]`, and read back as an array whose elements are cast. What BETWEEN was made of,
//! `((a AND b) AND c)`, is read back as `(a AND b AND c)`. Dumped and restored, such a schema is still the same.

/// The definition as it would be if it had been dumped and restored.
pub fn canonical(sql: &str) -> String {
    const CAST_ARRAY: &str = "(ARRAY[";
    let mut text = String::with_capacity(sql.len());
    let mut at = 0;
    while at < sql.len() {
        let rest = &sql[at..];
        let cast = if rest.starts_with(CAST_ARRAY) { cast_array(rest) } else { None };
        let group = if rest.starts_with('(') { closed(rest) } else { None };
        at += match (cast, group) {
            (Some((elements, of_type, len)), _) => {
                text.push_str(&pushed_down(elements, of_type));
                len
            }
            (None, Some(len)) => {
                text.push_str(&flattened(&canonical(&rest[1..len - 1])));
                len
            }
            (None, None) => {
                let len = token(rest);
                text.push_str(&rest[..len]);
                len
            }
        };
    }
    text
}

/// What is in brackets, with them; an AND whose first operand is an AND becomes one, as does an OR. The parser does so, and
/// only with the first one.
fn flattened(inner: &str) -> String {
    for operator in [" AND ", " OR "] {
        if let [first, _, ..] = split(inner, operator)[..] {
            let group = first.starts_with('(') && closed(first) == Some(first.len());
            if group && split(&first[1..first.len() - 1], operator).len() > 1 {
                return format!("({}{})", &first[1..first.len() - 1], &inner[first.len()..]);
            }
        }
    }
    format!("({inner})")
}

/// `(ARRAY[elements])::type[]` at the beginning of a text: its elements, their type, and its length.
fn cast_array(text: &str) -> Option<(&str, &str, usize)> {
    let from = "(ARRAY".len();
    let end = from + closed(&text[from..])?;
    let elements = &text[from + 1..end - 1];
    let of_type = text[end..].strip_prefix(")::")?;
    let mut len = 0;
    while !of_type[len..].starts_with("[]") {
        let rest = &of_type[len..];
        let c = rest.chars().next()?;
        if !(c.is_alphanumeric() || "_. \"(,)".contains(c)) {
            return None;
        }
        len += if c == '(' { closed(rest)? } else { token(rest) };
    }
    Some((elements, &of_type[..len], end + ")::".len() + len + "[]".len()))
}

fn pushed_down(elements: &str, of_type: &str) -> String {
    let cast: Vec<String> = split(elements, ", ")
        .into_iter()
        .map(|element| match element.strip_prefix("ARRAY").and_then(|array| array.strip_prefix('[')) {
            Some(inner) if inner.ends_with(']') => pushed_down(&inner[..inner.len() - 1], of_type),
            _ => format!("({})::{of_type}", canonical(element)),
        })
        .collect();
    format!("ARRAY[{}]", cast.join(", "))
}

/// The parts of a text that are separated by `by`, outside of brackets and quotes.
fn split<'t>(text: &'t str, by: &str) -> Vec<&'t str> {
    let (mut parts, mut begin, mut at) = (Vec::new(), 0, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with(by) {
            parts.push(&text[begin..at]);
            at += by.len();
            begin = at;
        } else {
            at += if rest.starts_with(['(', '[']) { closed(rest).unwrap_or(rest.len()) } else { token(rest) };
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// The length of what is in brackets at the beginning of a text, with the brackets.
fn closed(text: &str) -> Option<usize> {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match text.as_bytes()[at] {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            _ => {}
        }
        at += token(&text[at..]);
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// The length of the quoted text at the beginning of a text that is not empty, or else of its first character.
fn token(text: &str) -> usize {
    let quoted = match text.as_bytes()[0] {
        quote @ (b'\'' | b'"') => text[1..].find(char::from(quote)).map(|end| end + 2),
        b'$' => dollar_quoted(text),
        _ => None,
    };
    quoted.or_else(|| text.chars().next().map(char::len_utf8)).unwrap_or(text.len())
}

/// The length of `$tag$…$tag$`. A parameter such as `$1` is none.
fn dollar_quoted(text: &str) -> Option<usize> {
    let tag = &text[..text[1..].find('$')? + 2];
    let name = &tag[1..tag.len() - 1];
    if name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    text[tag.len()..].find(tag).map(|end| end + 2 * tag.len())
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn casts_move_to_the_elements() {
        for (printed, one) in [
            (
                "CHECK (((s)::text = ANY ((ARRAY['a'::character varying, 'b, ]'::character varying])::text[])))",
                "CHECK (((s)::text = ANY (ARRAY[('a'::character varying)::text, ('b, ]'::character varying)::text])))",
            ),
            ("(ARRAY[f(1, 2), x[1]])::numeric(10,2)[]", "ARRAY[(f(1, 2))::numeric(10,2), (x[1])::numeric(10,2)]"),
            ("(ARRAY[ARRAY['a'::x], ARRAY['b'::x]])::text[]", "ARRAY[ARRAY[('a'::x)::text], ARRAY[('b'::x)::text]]"),
            ("(ARRAY['ä'::x])::\"S [\".\"T\"[]", "ARRAY[('ä'::x)::\"S [\".\"T\"]"),
            ("(ARRAY['a'::x])::timestamp(3) without time zone[]", "ARRAY[('a'::x)::timestamp(3) without time zone]"),
        ] {
            assert_eq!(canonical(printed), one);
            assert_eq!(canonical(one), one, "what is canonical stays so");
        }
    }

    #[test]
    fn the_first_operand_is_part_of_the_same_and_or_or() {
        for (printed, one) in [
            ("CHECK ((((a >= 0) AND (a <= 1)) AND (b > 2)))", "CHECK (((a >= 0) AND (a <= 1) AND (b > 2)))"),
            ("((((a AND b) AND c) AND d) OR e)", "((a AND b AND c AND d) OR e)"),
            ("f((((a < ' AND ') OR b) OR c), x)", "f(((a < ' AND ') OR b OR c), x)"),
        ] {
            assert_eq!(canonical(printed), one);
            assert_eq!(canonical(one), one, "what is canonical stays so");
        }
    }

    #[test]
    fn anything_else_stays() {
        for text in [
            "",
            "(a AND (b AND c))",
            "((a OR b) AND c)",
            "((a) AND (b))",
            "((a AND b))",
            "(PARTITION BY a ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
            "never closed ((a AND b) AND c",
            "(ARRAY[1, 2])",
            "(ARRAY[1, 2])[1]",
            "(ARRAY[1, 2])::intarray",
            "'(ARRAY[''a''])::text[]'::text",
            "\"(ARRAY[a])::text[]\"",
            "AS $function$ (ARRAY['a'])::text[] $function$",
            "(ARRAY['never closed",
            "$1 || $2",
        ] {
            assert_eq!(canonical(text), text);
        }
        assert_eq!(canonical("f($1, $x$'$x$, (ARRAY[$2])::t[])"), "f($1, $x$'$x$, ARRAY[($2)::t])");
    }
}
