//! When a fault or an operation happens: exactly one of `at`, `when` and `every`, and the keys that go with it.

use super::{
    Condition, Event, Trigger,
    at::At,
    error::{Problem, unknown},
    names::Member,
    plan::{Entry, Surroundings, member_in},
    units::{Ends, Time, in_seconds},
};

/// The trigger's keys of a fault or an operation.
pub(super) struct TriggerKeys<'s> {
    pub(super) at: Option<&'s At<Ends<Time>>>,
    pub(super) when: Option<&'s At<Event>>,
    pub(super) member: Option<&'s At<Member>>,
    pub(super) index: Option<u64>,
    pub(super) fault: Option<&'s At<String>>,
    pub(super) nth: Option<u32>,
    pub(super) after: Option<&'s At<Ends<Time>>>,
    pub(super) every: Option<&'s At<Ends<Time>>>,
    pub(super) start: Option<&'s At<Time>>,
    pub(super) stop: Option<&'s At<Time>>,
}

/// The [`TriggerKeys`] of a shape; faults and operations have the same ones.
macro_rules! trigger_keys {
    ($shape:expr) => {
        $crate::scenario::trigger::TriggerKeys {
            at: $shape.at.as_ref(),
            when: $shape.when.as_ref(),
            member: $shape.member.as_ref(),
            index: $shape.index.as_ref().map(|index| index.get().to()),
            fault: $shape.fault.as_ref(),
            nth: $shape.nth.as_ref().map(|nth| nth.get().to()),
            after: $shape.after.as_ref(),
            every: $shape.every.as_ref(),
            start: $shape.start.as_ref(),
            stop: $shape.stop.as_ref(),
        }
    };
}
pub(super) use trigger_keys;

/// The trigger, and the keys that it takes.
pub(super) fn trigger(
    keys: &TriggerKeys<'_>,
    entry: &Entry<'_>,
    around: &Surroundings<'_>,
) -> Result<(Trigger, &'static [&'static str]), Problem> {
    let given: Vec<&str> = [("at", keys.at.is_some()), ("when", keys.when.is_some()), ("every", keys.every.is_some())]
        .into_iter()
        .filter_map(|(key, given)| given.then_some(key))
        .collect();
    if let [first, second, ..] = given[..] {
        let message = format!("{} has one trigger, not both `{first}` and `{second}`", entry.what);
        return Err(Problem::new(entry.key_span(second), message, "keep one of them"));
    }
    if let Some(at) = keys.at {
        let range = at.get().range();
        if range.hi > around.duration {
            let message = format!("this is after the chaos phase, which ends at {}", in_seconds(around.duration));
            return Err(Problem::new(at.span(), message, "give it an earlier time, or the file a longer `duration`"));
        }
        return Ok((Trigger::At(range), &["at"]));
    }
    if let Some(when) = keys.when {
        return condition(keys, when, around);
    }
    if let Some(every) = keys.every {
        let range = every.get().range();
        if range.lo == 0 {
            return Err(Problem::new(every.span(), "a gap of 0 s would never let time pass", ""));
        }
        let from = keys.start.map_or(0, |start| start.get().0);
        let until = keys.stop.map(|stop| stop.get().0);
        if let (Some(stop), Some(until)) = (keys.stop, until)
            && until <= from
        {
            return Err(Problem::new(stop.span(), "this stops before it starts", ""));
        }
        return Ok((Trigger::Random { every: range, from, until }, &["every", "start", "stop"]));
    }
    let hint = "one of: at = \"4s\", when = \"leader-elected\", every = \"2s\"";
    Err(Problem::new(entry.span.clone(), format!("{} does not say when", entry.what), hint))
}

fn condition(
    keys: &TriggerKeys<'_>,
    when: &At<Event>,
    around: &Surroundings<'_>,
) -> Result<(Trigger, &'static [&'static str]), Problem> {
    let event = *when.get();
    let taken: &[&str] = match event {
        Event::EntryAppended | Event::EntryCommitted | Event::EntryApplied => {
            &["when", "member", "index", "nth", "after"]
        }
        Event::FaultStarted | Event::FaultEnded => &["when", "fault", "nth", "after"],
        _ => &["when", "member", "nth", "after"],
    };
    let fault = match (event, keys.fault) {
        (Event::FaultStarted | Event::FaultEnded, None) => {
            let message = format!("the condition \"{event}\" needs the key \"fault\", the name of a fault");
            return Err(Problem::new(when.span(), message, ""));
        }
        (Event::FaultStarted | Event::FaultEnded, Some(name)) => Some(fault_named(name, around)?),
        // Refused later as a key that is not taken.
        (_, _) => None,
    };
    let condition = Condition {
        event,
        member: keys.member.map(|member| member_in(member, around.cluster)).transpose()?,
        index: keys.index,
        fault,
        nth: keys.nth.unwrap_or(1),
        after: keys.after.map(|after| after.get().range()).unwrap_or_default(),
    };
    Ok((Trigger::When(condition), taken))
}

/// Which fault has a name.
fn fault_named(name: &At<String>, around: &Surroundings<'_>) -> Result<usize, Problem> {
    let found = around.fault_names.iter().position(|known| known.as_ref() == Some(name.get()));
    found.ok_or_else(|| {
        let known: Vec<&str> = around.fault_names.iter().flatten().map(String::as_str).collect();
        let (message, hint) = unknown("fault", name.get(), &known);
        let hint = if known.is_empty() { "no fault of this file has a name".to_owned() } else { hint };
        Problem::new(name.span(), message, hint)
    })
}
