//! Whatever the kernel side hands over, decoding answers with strict JSON and one line of text.

use proptest::prelude::*;
use serde_json::Value;

use super::super::{Abi, Captured, decode, lookup, path, peer, summary};

/// Memory that is absent, empty, without a NUL, no UTF-8, or close to a socket address.
fn memory() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        Just(None),
        Just(Some(Vec::new())),
        prop::collection::vec(any::<u8>(), 0..140).prop_map(Some),
        "\\PC{0,40}".prop_map(|text| Some(text.into_bytes())),
        (0_u8..50, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(family, mut data)| {
            data.splice(0..0, [family, 0]);
            Some(data)
        }),
    ]
}

/// Registers as programs have them: small, negative, of 32 bits, or anything.
fn register() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..200,
        any::<i32>().prop_map(|int| i64::from(int).cast_unsigned()),
        any::<u32>().prop_map(u64::from),
        any::<u64>()
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_call_decodes_to_strict_json(
        abi in prop_oneof![Just(Abi::X86_64), Just(Abi::I386)],
        number in prop_oneof![4 => 0_u32..480, 1 => any::<u32>()],
        registers in prop::array::uniform6(register()),
        memory in prop::array::uniform6(memory()),
        truncated: u8,
    ) {
        let memory = memory.each_ref().map(Option::as_deref);
        let captured = Captured { abi, registers, memory, truncated };
        let args = decode(number, &captured);
        let text = serde_json::to_string(&args).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), serde_json::to_value(&args).unwrap());
        match lookup(abi, number) {
            Some(call) => {
                prop_assert!(args.0.len() <= call.args.len());
                for (name, _) in &args.0 {
                    prop_assert!(call.args.iter().any(|arg| arg.name == *name));
                }
            }
            None => prop_assert_eq!(args.0.len(), 6),
        }
        // Encoders downstream carry integers as signed 64-bit numbers.
        for (_, value) in &args.0 {
            prop_assert!(!value.is_number() || value.is_i64(), "{}", value);
        }
        let words = summary(number, &captured);
        prop_assert!(!words.is_some_and(|words| words.is_empty() || words.contains(char::is_control)));
        let _ = (path(number, &captured), peer(number, &captured));
    }
}
