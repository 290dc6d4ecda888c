//! Linearizability of requests of any kind: the log is the witness.
//!
//! **What.** A store is right if its clients could take it for one machine that does one thing after another. Which thing after
//! which is no riddle here: the world has the committed [log](super::log). So
//! 1. each write stands at its entry's index, and its answer is the one that the model gives there;
//! 2. each linearizable read stands behind some entry: of those after which the store was at the revision in the answer's
//!    header, the first that is not before anything which had been answered when the read was asked. Its answer is the
//!    one that the model gives there. (The first: a later place can only be too late for those that come after.)
//! 3. nothing stands before what had been answered when it was asked.
//!
//! **How.** One pass over the requests in order of their calls gives the places, one replay of the log the answers:
//! O(n log n). What no client asked for, such as the revokes of a leader that counts leases down, is in the log; and
//! whether an unanswered write took effect, too. So nothing is to be searched. A store that is right agrees with its own
//! log, and what is found here is no other order's merit.
//!
//! Serializable reads are true at their revision, however old it is.
//!
//! **Left out.** What members answer from memory: keepalives, times to live, lists of leases ([`lessor`](super::lessor)).

use super::asked::{Asked, Ending};
use super::log::{Committed, Replay};
use super::model::{self, Answer, Detail, Refusal, Reply, Seen, State};
use seedbed::api::{Error, Request, Response};
use seedbed::pb::etcdserverpb::{DeleteRangeResponse, PutResponse, RangeResponse, ResponseHeader};
use std::collections::BTreeMap;

/// Operation numbers from here on are requests of any kind; those below are key-value operations.
pub const ASKED: u32 = 1 << 31;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// In words.
    pub sentence: String,
    /// The requests that show it, by their numbers.
    pub requests: Vec<usize>,
}

fn wrong(request: usize, sentence: impl Into<String>) -> Wrong {
    Wrong { sentence: sentence.into(), requests: vec![request] }
}

/// Judges every request. Returns how many had something to be judged by.
pub fn check(log: &[Committed], asked: &[Asked]) -> Result<u64, Wrong> {
    let places = place(log, asked)?;
    let reads_the_past =
        asked.iter().any(|asked| matches!(&asked.request, Request::Range(range) if range.revision > 0));
    let state = if reads_the_past { State::remembering() } else { State::default() };
    let mut replay = Replay::new(log, state);
    let mut judged = judge_reads(0, &places, asked, &mut replay)?;
    while let Some(replayed) = replay.next() {
        let Committed { entry, revision, operation, .. } = replayed.committed;
        if *revision != replay.state().revision() {
            let should = replay.state().revision();
            let sentence = format!("the entry at index {} made revision {revision}, the model {should}", entry.index);
            return Err(Wrong { sentence, requests: Vec::new() });
        }
        if let Some(number) = operation.and_then(|number| number.checked_sub(ASKED))
            && let Some(expected) = &replayed.answer
        {
            judge(number as usize, &asked[number as usize], expected)?;
            judged += 1;
        }
        judged += judge_reads(entry.index as usize, &places, asked, &mut replay)?;
    }
    Ok(judged)
}

/// The reads to be judged behind each entry.
type Places = BTreeMap<usize, Vec<usize>>;

/// Finds the place of everything that has one, and sees to it that time is obeyed.
fn place(log: &[Committed], asked: &[Asked]) -> Result<Places, Wrong> {
    let entries = log.iter().filter_map(|committed| Some((committed.operation?, committed.entry.index as usize)));
    let entries: BTreeMap<u32, usize> = entries.collect();
    let mut at_revision: BTreeMap<i64, (usize, usize)> = BTreeMap::from([(1, (0, 0))]);
    for committed in log {
        let index = committed.entry.index as usize;
        at_revision.entry(committed.revision).or_insert((index, index)).1 = index;
    }
    let mut by_call: Vec<usize> = (0..asked.len()).collect();
    by_call.sort_by_key(|&number| (asked[number].call, number));
    let mut by_ret: Vec<(u64, usize)> =
        (0..asked.len()).filter_map(|number| Some((asked[number].ret()?, number))).collect();
    by_ret.sort_unstable();

    let mut place_of: Vec<Option<usize>> = vec![None; asked.len()];
    let mut reads = Places::new();
    let mut returned = by_ret.into_iter().peekable();
    // The last place of anything that had been answered, and whose it is.
    let mut behind = (0, None);
    for number in by_call {
        let Asked { call, request, ending, .. } = &asked[number];
        while let Some((_, done)) = returned.next_if(|(ret, _)| ret < call) {
            if let Some(place) = place_of[done].filter(|place| *place > behind.0) {
                behind = (place, Some(done));
            }
        }
        let late = |sentence: String| Wrong { sentence, requests: behind.1.into_iter().chain([number]).collect() };
        if request.is_write() {
            let entry = entries.get(&(ASKED | number as u32)).copied();
            match (entry, ending) {
                (Some(index), _) if index <= behind.0 => {
                    return Err(late(format!(
                        "a write took effect at index {index}, before what was already answered"
                    )));
                }
                (None, Ending::Answered { .. }) => return Err(wrong(number, "an answered write is not in the log")),
                (None, Ending::Refused { .. }) => return Err(wrong(number, "a refused write is not in the log")),
                _ => place_of[number] = entry,
            }
            continue;
        }
        let Request::Range(range) = request else { continue };
        let Ending::Answered { response: Response::Range(RangeResponse { header: Some(header), .. }), .. } = ending
        else {
            continue;
        };
        let Some(&(first, last)) = at_revision.get(&header.revision) else {
            return Err(wrong(number, format!("a read shows revision {}, which no entry made", header.revision)));
        };
        if range.serializable {
            reads.entry(first).or_default().push(number);
            continue;
        }
        if last < behind.0 {
            return Err(late(format!("a stale read: it shows revision {}, before what was answered", header.revision)));
        }
        let place = first.max(behind.0);
        place_of[number] = Some(place);
        reads.entry(place).or_default().push(number);
    }
    Ok(reads)
}

fn judge_reads(place: usize, places: &Places, asked: &[Asked], replay: &mut Replay<'_>) -> Result<u64, Wrong> {
    let reads = places.get(&place).map_or(&[][..], Vec::as_slice);
    for &number in reads {
        let Request::Range(range) = &asked[number].request else { continue };
        let expected = replay.ask(&model::Request::Range(range.clone()));
        judge(number, &asked[number], &expected)?;
    }
    Ok(reads.len() as u64)
}

fn judge(number: usize, asked: &Asked, expected: &Answer) -> Result<(), Wrong> {
    let seen = match &asked.ending {
        Ending::Answered { response, .. } => match answer(response.clone()) {
            Some(answer) => answer,
            None => return Err(wrong(number, "the answer is of another kind than the request")),
        },
        Ending::Refused { error, .. } => match refusal(error) {
            Some(refusal) => Answer::refused(refusal),
            None => return Ok(()),
        },
        Ending::Failed => return Err(wrong(number, "what was said to have failed is in the log")),
        Ending::Unknown => return Ok(()),
    };
    let seen = Seen::Answer(seen, Detail::Full);
    if seen.fits(expected) {
        return Ok(());
    }
    let Seen::Answer(seen, _) = seen else { unreachable!("invariant: it was just made") };
    Err(wrong(number, format!("a wrong answer: {}; the log gives {}", brief(&seen), brief(expected))))
}

/// An answer in a line.
fn brief(answer: &Answer) -> String {
    let text = format!("{answer:?}");
    let end = text.char_indices().nth(300).map_or(text.len(), |(at, _)| at);
    if end < text.len() { format!("{}…", &text[..end]) } else { text }
}

/// A response as the model has it: without headers, but for the revision of the outer one.
fn answer(response: Response) -> Option<Answer> {
    let revision = |header: &Option<ResponseHeader>| header.as_ref().map_or(0, |header| header.revision);
    Some(match response {
        Response::Range(response) => {
            Answer::ok(revision(&response.header), Reply::Range(RangeResponse { header: None, ..response }))
        }
        Response::Put(response) => {
            Answer::ok(revision(&response.header), Reply::Put(PutResponse { header: None, ..response }))
        }
        Response::DeleteRange(response) => {
            Answer::ok(revision(&response.header), Reply::DeleteRange(DeleteRangeResponse { header: None, ..response }))
        }
        Response::Txn(response) => Answer::ok(revision(&response.header), response.into()),
        Response::Compact(response) => Answer::ok(revision(&response.header), Reply::Compact),
        Response::LeaseGrant(response) => {
            Answer::ok(revision(&response.header), Reply::LeaseGrant { id: response.id, ttl: response.ttl })
        }
        Response::LeaseRevoke(response) => Answer::ok(revision(&response.header), Reply::LeaseRevoke),
        _ => return None,
    })
}

fn refusal(error: &Error) -> Option<Refusal> {
    Some(match error {
        Error::KeyNotFound => Refusal::KeyNotFound,
        Error::FutureRevision => Refusal::FutureRevision,
        Error::Compacted => Refusal::Compacted,
        Error::LeaseNotFound => Refusal::LeaseNotFound,
        Error::LeaseExists => Refusal::LeaseExists,
        Error::LeaseTtlTooLarge => Refusal::LeaseTtlTooLarge,
        _ => return None,
    })
}
