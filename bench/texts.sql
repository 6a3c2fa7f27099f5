-- What is saved.

CREATE SCHEMA bench;

-- Both kinds of text are kept plain: a client's text is not compressed, and no peer may store it without compressing it.

-- 2 KB of source code per file, for saves that change a little of it.
CREATE TABLE bench.texts (n integer PRIMARY KEY, body text NOT NULL);
ALTER TABLE bench.texts ALTER COLUMN body SET STORAGE PLAIN;
INSERT INTO bench.texts
SELECT n, left(string_agg(format(E'  const value%s = await load(%s, "%s");\n', i, i * n % 97, substr(md5((i * n)::text), 1, 8)),
                      '' ORDER BY i), 2048)
  FROM generate_series(1, 2000) n, generate_series(1, 64) i
 GROUP BY n;

-- 1,000 texts of 36 lines of code, 2 KB each, for saves that leave little of a file: each has names, numbers and an order
-- of lines of its own. zstd makes 0.36 of one, and 0.31 with another beside it.
CREATE FUNCTION bench.pick(p_of text[], VARIADIC p_seed integer[]) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN p_of[1 + (hashtextextended(p_seed::text, 0) & 2147483647) % cardinality(p_of)];
CREATE TABLE bench.variants (n integer PRIMARY KEY, body text NOT NULL);
ALTER TABLE bench.variants ALTER COLUMN body SET STORAGE PLAIN;
WITH words AS (
    SELECT string_to_array('access account action active address amount article asset avatar badge balance banner batch '
        'board bound branch bucket buffer button cache call canvas card cart cell channel chart check child choice chunk '
        'client clock cloud color column command comment context copy count course cover credit cursor customer cycle '
        'data date day deal default delay depth device dialog digest draft drawer driver edge editor effect email entry '
        'error event export factor failure feature feed fetch field figure file filter folder font footer form frame '
        'gallery gate grid group guest handle header height hint host icon image import index input invoice issue item '
        'job join journal key label language layer layout lead level limit line link list load locale lock login manager '
        'map margin mark member menu merge message meter mode model month mouse name node note notice number offer option '
        'order origin owner page panel parent parser path pattern payment phase photo picker plan player point policy '
        'pool post preview price product profile prompt query queue quote rank rate reader reason record region relay '
        'render reply report request result retry review role room route row rule sample scale scene schema score screen '
        'scroll search section select sender series session setting shadow shape sheet signal size slice slot socket sort '
        'source span stage state status step store stream string style submit summary switch symbol table tag target task '
        'team theme thread ticket timer title token tool total track trigger tree type unit update upload user value '
        'vendor vertex video view visit volume voucher wallet warning watch week widget width window worker zone', ' ') AS all_words
), lines AS (
    SELECT ARRAY[
        'import { %1$s, %2$s } from "../%3$s/%4$s";',
        '  const %1$s = await %2$s(%3$s.%4$s, %5$s);',
        '  const [%1$s, set%2$s] = useState(%3$s ?? %5$s);',
        '  if (%1$s.%2$s > %5$s) return %3$s(%4$s);',
        '  for (const %1$s of %2$s.%3$s()) %4$s.push(%1$s);',
        '  throw new Error(`%1$s ${%2$s.%3$s} is over %5$s`);',
        'export function %1$s(%2$s: %3$s): Promise<%4$s> {',
        '  return { ...%1$s, %2$s: %3$s[%5$s], %4$s };',
        '  %1$s.on("%2$s", () => %3$s.%4$s({ wait: %5$s }));',
        '  <%1$s %2$s={%3$s} onClick={%4$s} size="%5$s" />',
        '  %1$s = %2$s.filter((%3$s) => %3$s.%4$s !== %5$s);',
        '  while (%1$s.%2$s < %3$s.length) %4$s += %5$s;',
        '  // %1$s: what %2$s leaves to %3$s after %5$s ms',
        '  await Promise.all([%1$s(%2$s), %3$s(%4$s, %5$s)]);',
        '  expect(%1$s.%2$s).toEqual(%3$s({ %4$s: %5$s }));',
        '}'] AS all_lines
), names AS (
    SELECT n, array_agg(bench.pick(all_words, n, i, 1)
                        || CASE WHEN i % 2 = 0 THEN initcap(bench.pick(all_words, n, i, 2)) ELSE '' END ORDER BY i) AS own
      FROM words, generate_series(1, 1000) n, generate_series(1, 10) i
     GROUP BY n
)
INSERT INTO bench.variants
SELECT n, string_agg(format(bench.pick(all_lines, n, i), bench.pick(own, n, i, 1), bench.pick(own, n, i, 2),
                            bench.pick(own, n, i, 3), bench.pick(own, n, i, 4), n * i % 97) || E'\n', '' ORDER BY i)
  FROM lines, names, generate_series(1, 36) i
 GROUP BY n;
