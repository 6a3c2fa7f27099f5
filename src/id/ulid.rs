//! ULIDs according to the specification: <https://github.com/ulid/spec>. Knows nothing about Postgres.

use ulid::Ulid;

/// Number of random bits in a ULID.
const RANDOM_BITS: u32 = 80;
/// The timestamp's 48 bits end in the year 10889.
const LAST_MS: u64 = (1 << 48) - 1;

/// Generates strictly increasing ULIDs, whatever the clock does.
#[derive(Default)]
pub struct Generator {
    last: u128,
}

impl Generator {
    /// The next ULID at `now_ms` (Unix time in milliseconds). `random` is called only when a new millisecond begins;
    /// within a millisecond, and if the clock goes back, the result is the last value plus one. If all 2^80 values of a
    /// millisecond are used up, it overflows into the next.
    pub fn next(&mut self, now_ms: u64, random: impl FnOnce() -> u128) -> Ulid {
        let now_ms = now_ms.min(LAST_MS);
        self.last = if now_ms > (self.last >> RANDOM_BITS) as u64 {
            u128::from(now_ms) << RANDOM_BITS | random() & ((1 << RANDOM_BITS) - 1)
        } else {
            self.last.saturating_add(1)
        };
        Ulid(self.last)
    }
}

/// Reads a ULID in upper or lower case; `None` for anything else, including values above 7ZZZZZZZZZZZZZZZZZZZZZZZZZ,
/// where 26 characters would hold more than 128 bits.
pub fn parse(text: &str) -> Option<Ulid> {
    let fits = text.as_bytes().first().is_some_and(|first| (b'0'..=b'7').contains(first));
    if fits { Ulid::from_string(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn specification_vectors() {
        assert_eq!(Ulid::from_parts(1_469_918_176_385, 0).to_string()[..10], *"01ARYZ6S41");
        assert_eq!(parse("01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap().timestamp_ms(), 1_469_922_850_259);
        assert_eq!(parse("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"), Some(Ulid(u128::MAX)));
        for overflow in ["80000000000000000000000000", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "ZZZZZZZZZZZZZZZZZZZZZZZZZZ"] {
            assert_eq!(parse(overflow), None, "{overflow}");
        }
    }

    #[test]
    fn refuses_what_is_no_ulid() {
        for text in [
            "",
            "0",
            "01ARZ3NDEKTSV4RRFFQ69G5FA",
            "01ARZ3NDEKTSV4RRFFQ69G5FAVV",
            "01ARZ3NDEKTSV4RRFFQ69G5FAU",
            "01ARZ3NDEKTSV4RRFFQ69G5FAI",
            "01ARZ3NDEKTSV4RRFFQ69G5FAL",
            "01ARZ3NDEKTSV4RRFFQ69G5FAO",
            "01ARZ3NDEKTSV4RRFFQ69G5F-V",
            "01ARZ3NDEKTSV4RRFFQ69G5Fä",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn full_millisecond_flows_over() {
        let mut generator = Generator::default();
        let first = generator.next(5, || u128::MAX);
        let second = generator.next(5, || unreachable!());
        assert_eq!((first.timestamp_ms(), second.timestamp_ms(), second.random()), (5, 6, 0));
    }

    proptest! {
        #[test]
        fn strictly_increasing(clock in prop::collection::vec(0..50u64, 1..200), seed: u128) {
            let mut generator = Generator::default();
            let mut last = None;
            for now in clock {
                let id = generator.next(now, || seed);
                prop_assert!(last < Some(id));
                prop_assert!(last.map(|l: Ulid| l.to_string()) < Some(id.to_string()), "as text too");
                last = Some(id);
            }
        }

        #[test]
        fn text_round_trip(bits: u128) {
            let id = Ulid(bits);
            prop_assert_eq!(parse(&id.to_string()), Some(id));
            prop_assert_eq!(parse(&id.to_string().to_lowercase()), Some(id));
        }

        #[test]
        fn never_panics(text in ".*") {
            parse(&text);
        }
    }
}
