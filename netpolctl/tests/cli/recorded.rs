//! The recorded replies are what an agent of this API version says.

use std::fs;

use netpol_api::Reply;
use serde_json::Value;

use crate::fake_agent::recorded;
use crate::program::tests;

#[test]
fn recorded_replies_are_of_this_api_and_lose_nothing_on_the_way() {
    let files = fs::read_dir(tests().join("replies")).expect("recorded replies");
    let mut seen = 0;
    for file in files {
        let file = file.expect("a file").path();
        let name = file.file_stem().and_then(|n| n.to_str()).expect("UTF-8");
        for value in recorded(name) {
            let reply: Reply = serde_json::from_value(value.clone())
                .unwrap_or_else(|e| panic!("{name}: {e}\n{value:#}"));
            let again: Value = serde_json::to_value(reply).expect("JSON");
            assert_eq!(again, value, "{name}");
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen} recorded replies");
}
