//! Money: transfers move it, and none is made or lost (`transfer-total`, lesson 09).
//!
//! Every read of all accounts at one revision must show the same total. The store is not on trial here: it may be linearizable
//! to the last request while its clients, each of which read, reckoned and wrote, undo each other's work. What is judged is
//! whether their transactions compare enough.

use super::asked::{Asked, Ending};
use seedbed::api::{Request, Response};
use seedbed::pb::mvccpb::KeyValue;

/// The accounts' keys begin so.
pub const PREFIX: &[u8] = b"account/";
/// The first key behind them.
pub const PREFIX_END: &[u8] = b"account0";
/// What all of them hold together.
pub const TOTAL: i64 = 600;

/// Judges every read of all accounts. Returns how many there were; or the number of the first that shows another total.
pub fn check(asked: &[Asked]) -> Result<u64, (usize, String)> {
    let mut observed = 0;
    for (number, asked) in asked.iter().enumerate() {
        let (Request::Range(range), Ending::Answered { response: Response::Range(response), .. }) =
            (&asked.request, &asked.ending)
        else {
            continue;
        };
        if range.key != PREFIX || range.range_end != PREFIX_END || response.kvs.is_empty() {
            continue;
        }
        observed += 1;
        let total: i64 = response.kvs.iter().map(balance).sum();
        if total != TOTAL {
            let revision = response.header.as_ref().map_or(0, |header| header.revision);
            return Err((number, format!("all accounts together hold {total} at revision {revision}, not {TOTAL}")));
        }
    }
    Ok(observed)
}

/// What an account holds.
pub fn balance(kv: &KeyValue) -> i64 {
    std::str::from_utf8(&kv.value).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedbed::pb::etcdserverpb::{RangeRequest, RangeResponse};

    fn read(balances: &[&'static str]) -> Asked {
        let kv = |value: &&'static str| KeyValue { value: (*value).into(), ..KeyValue::default() };
        let response = RangeResponse { kvs: balances.iter().map(kv).collect(), ..RangeResponse::default() };
        let range = RangeRequest { key: PREFIX.into(), range_end: PREFIX_END.into(), ..RangeRequest::default() };
        let ending = Ending::Answered { ret: 1, response: Response::Range(response) };
        Asked { client: 0, member: 0, call: 0, request: Request::Range(range), ending }
    }

    #[test]
    fn a_total_that_changed_is_found() {
        assert_eq!(check(&[read(&[]), read(&["200", "200", "200"]), read(&["0", "500", "100"])]), Ok(2));
        let (number, text) = check(&[read(&["200", "200", "200"]), read(&["100", "300", "100"])]).unwrap_err();
        assert_eq!(number, 1);
        assert!(text.contains("hold 500"), "{text}");
    }
}
