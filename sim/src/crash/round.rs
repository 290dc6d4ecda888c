//! A round: one undisturbed life, forked at every moment.

use super::donor::{START, fresh_disk};
use super::history::History;
use super::judge::{Judge, Sound, Wrong};
use super::life::{Ended, Life, Moment, Power};
use super::plan::{Plan, Step, plan};
use super::reference::Reference;
use super::report::{Address, Explored, Fate, Finding};
use super::{Operation, Options};
use crate::run::caught;
use crate::scenario::Unsynced;
use crate::story::words::counted;
use crate::world::disk::SimDisk;
use crate::world::random::Stream;
use seedbed::api::{Request, RequestId};
use seedbed::disk::{Action, DiskOp, Shared};
use seedbed::member::Input;
use seedbed::pb::etcdserverpb::{CompactionRequest, DeleteRangeRequest, PutRequest};
use seedbed::time::{Nanos, SECOND};
use std::collections::VecDeque;
use std::rc::Rc;

/// Operations that a finding tells of.
const TOLD: usize = 8;
/// How often a sector is kept, in a million: from a disk that wrote next to nothing to one that missed next to nothing.
const KEEP_PPM: [u32; 4] = [500_000, 900_000, 100_000, 990_000];
/// How often a random fate cuts the member again while it starts.
const AGAIN_PPM: u32 = 250_000;
/// Moments of a start among which that second cut is drawn.
const AGAIN_WITHIN: u64 = 12;

/// Explores a round.
pub(super) fn explore(
    operation: Operation,
    round: u64,
    options: &Options,
    explored: &mut Explored,
    seen: &mut dyn FnMut(u64),
) {
    let plan = plan(operation, round, options);
    let stream = Stream::new(options.seed, &format!("crash/{operation}/{round}/order"));
    let reference = Reference::default();
    let recent = VecDeque::new();
    let mut forks = Forks { operation, round, options, plan: &plan, reference, explored, seen, cut: 0, recent };
    let ended = caught(|| live(&plan, options, stream, &mut forks));
    let text = match ended {
        Ok(Ok(())) => return,
        Ok(Err(ended)) => format!("before any cut, the member's own life ends: {ended:?}"),
        Err(panic) => format!("before any cut, the member panics: {panic}"),
    };
    let address = Address { round, cut: forks.cut, fate: Fate::Kept };
    let operations = forks.told(None);
    if options.shard.0 == 0 {
        forks.explored.wrong(|| Finding { address, text, operations });
    }
}

/// Lives the whole script.
fn live(plan: &Plan, options: &Options, mut random: Stream, power: &mut dyn Power) -> Result<(), Ended> {
    let disk = Shared::new(fresh_disk());
    disk.get().faults.lying = options.lying;
    let history = plan.leader.as_ref().map_or_else(History::new, |leader| leader.states.of_follower());
    let mut life = Life::start(plan.config.clone(), disk, START, Rc::new(history), power)?;
    if plan.leader.is_none() {
        while !life.member.is_leader() {
            life.complete_all(power)?;
            life.wait(Nanos::MAX, power)?;
        }
    }
    for (step, number) in plan.steps.iter().zip(1..) {
        // Some of what is out is done before the next thing happens, in one of the orders that a disk may choose.
        while life.waits_for_disk() && random.chance(600_000) {
            let choice = random.below(life.completions() as u64) as usize;
            life.complete(choice, power)?;
        }
        take(&mut life, step, RequestId(number), power)?;
        life.messages.clear();
    }
    take(&mut life, &Step::Settle, RequestId(0), power)?;
    power.stays_on(&life.disk, &life.history, Moment::End);
    Ok(())
}

fn take(life: &mut Life, step: &Step, id: RequestId, power: &mut dyn Power) -> Result<(), Ended> {
    let history = Rc::make_mut(&mut life.history);
    let request = match step {
        Step::Put { key, value } => {
            history.issue(id, |pairs| drop(pairs.insert(key.clone(), value.clone())));
            let (key, value) = (key.clone().into(), value.clone().into());
            Request::Put(PutRequest { key, value, ..PutRequest::default() })
        }
        Step::Delete { key } => {
            history.issue(id, |pairs| drop(pairs.remove(key)));
            Request::DeleteRange(DeleteRangeRequest { key: key.clone().into(), ..DeleteRangeRequest::default() })
        }
        Step::Compact { behind } => {
            let revision = history.issued() as i64 + 1 - behind;
            Request::Compact(CompactionRequest { revision, ..CompactionRequest::default() })
        }
        Step::Defragment => Request::Defragment,
        Step::Deliver(message) => return life.step(Input::Message(message.clone()), power),
        Step::Pass(lasting) => {
            let until = life.now.mono + lasting;
            while life.wait(until, power)? {
                if life.waits_for_disk() {
                    life.complete(0, power)?;
                }
            }
            return Ok(());
        }
        Step::Settle => {
            let until = life.now.mono + 5 * SECOND;
            loop {
                life.complete_all(power)?;
                if life.is_idle() || life.now.mono >= until {
                    return Ok(());
                }
                life.wait(until, power)?;
            }
        }
    };
    life.step(Input::Request(id, Box::new(request)), power)
}

/// Forks the disk at every moment, and judges what each fate makes of it.
struct Forks<'a> {
    operation: Operation,
    round: u64,
    options: &'a Options,
    plan: &'a Plan,
    reference: Reference,
    explored: &'a mut Explored,
    seen: &'a mut dyn FnMut(u64),
    /// Number of the next cut.
    cut: u64,
    /// The last operations begun or done, to tell of.
    recent: VecDeque<(&'static str, DiskOp)>,
}

impl Power for Forks<'_> {
    fn stays_on(&mut self, disk: &Shared<SimDisk>, history: &Rc<History>, moment: Moment<'_>) -> bool {
        self.fork(&disk.get(), history, moment);
        let happens = match moment {
            Moment::Begin(op) => ("began", op),
            Moment::Finish(op) => ("done", op),
            Moment::End => return true,
        };
        self.recent.push_back((happens.0, happens.1.clone()));
        if self.recent.len() > TOLD {
            self.recent.pop_front();
        }
        true
    }
}

impl Forks<'_> {
    fn fork(&mut self, disk: &SimDisk, history: &Rc<History>, moment: Moment<'_>) {
        let cut = self.cut;
        self.cut += 1;
        let (shard, of) = self.options.shard;
        let wanted = self.options.only.is_none_or(|only| only.cut == cut) && cut % of == shard;
        if !wanted {
            return;
        }
        self.explored.cuts += 1;
        let before = self.explored.images;
        let fates = match (self.options.only, disk.is_settled()) {
            // Where nothing is unsynced, all fates are one.
            (only, true) => {
                self.explored.is_as_lost = only.is_some_and(|only| only.fate != Fate::Lost);
                vec![Fate::Lost]
            }
            (Some(only), false) => vec![only.fate],
            (None, false) => {
                let random = (0..self.options.fates).map(Fate::Random);
                [Fate::Lost, Fate::Kept].into_iter().chain(random).collect()
            }
        };
        for fate in fates {
            self.image(disk, history, Address { round: self.round, cut, fate }, moment);
        }
        (self.seen)(self.explored.images - before);
    }

    fn image(&mut self, disk: &SimDisk, history: &Rc<History>, address: Address, moment: Moment<'_>) {
        self.explored.images += 1;
        let judged = caught(|| self.judge(disk, history, address));
        let judged = judged.unwrap_or_else(|panic| {
            let text = format!("the member panics: {panic}");
            Err(Wrong { text, lost: history.promised(), refused: true, power_cut: false })
        });
        let is_lie = self.options.lying && address.fate != Fate::Kept;
        match judged {
            Ok(Sound { unanswered_gone }) => {
                self.explored.unanswered_gone = self.explored.unanswered_gone.max(unanswered_gone);
            }
            Err(Wrong { lost, refused, .. }) if is_lie => {
                let beyond = &mut self.explored.beyond;
                beyond.images += 1;
                beyond.refused += u64::from(refused);
                (beyond.most_lost, beyond.of) = (beyond.most_lost, beyond.of).max((lost, history.promised()));
            }
            Err(Wrong { text, .. }) => {
                let operations = self.told(Some(moment));
                self.explored.wrong(|| Finding { address, text, operations });
            }
        }
    }

    /// The life, or the two lives, of a member on an image.
    fn judge(&mut self, disk: &SimDisk, history: &Rc<History>, address: Address) -> Result<Sound, Wrong> {
        let name = format!("crash/{}/{address}", self.operation);
        let mut random = Stream::new(self.options.seed, &name);
        let mut image = disk.clone();
        image.faults.lying = false;
        let mut again = Again { left: None, promised: history.clone() };
        match address.fate {
            Fate::Lost => image.crash(Unsynced::Lost, &mut random),
            Fate::Kept => image.crash(Unsynced::Kept, &mut random),
            Fate::Random(_) => {
                image.crash_keeping(Unsynced::Random, *random.pick(&KEEP_PPM), &mut random);
                again.left = random.chance(AGAIN_PPM).then(|| random.below(AGAIN_WITHIN));
            }
        }
        let image = Shared::new(image);
        let Plan { config, leader, .. } = self.plan;
        let mut judge = Judge { config, leader: leader.clone(), reference: &mut self.reference, lives: 0 };
        let judged = judge.judge(image.clone(), history, &mut again);
        if !judged.as_ref().is_err_and(|wrong| wrong.power_cut) {
            return judged;
        }
        self.explored.cut_twice += 1;
        image.get().crash_keeping(Unsynced::Random, *random.pick(&KEEP_PPM), &mut random);
        again.left = None;
        let promised = again.promised.clone();
        judge.judge(image, &promised, &mut again)
    }

    /// The last operations, and the one that was cut off.
    fn told(&self, moment: Option<Moment<'_>>) -> Vec<String> {
        let next = match moment {
            Some(Moment::Begin(op)) => Some(format!("cut before: {}", words(op))),
            Some(Moment::Finish(op)) => Some(format!("cut before it was done: {}", words(op))),
            Some(Moment::End) | None => None,
        };
        self.recent.iter().map(|(what, op)| format!("{what}: {}", words(op))).chain(next).collect()
    }
}

fn words(op: &DiskOp) -> String {
    match &op.action {
        Action::Create => format!("create {}", op.file),
        Action::Write { offset, data } => {
            format!("write {} at {offset} of {}", counted(data.len() as u64, "byte", "bytes"), op.file)
        }
        Action::Truncate { len } => format!("truncate {} to {len} bytes", op.file),
        Action::Sync => format!("sync {}", op.file),
        Action::Rename { to } => format!("rename {} to {to}", op.file),
        Action::Remove => format!("remove {}", op.file),
        Action::SyncDir => format!("sync directory {}", op.file),
    }
}

/// Power that fails once, after so many moments.
struct Again {
    left: Option<u64>,
    /// What the member has promised up to the last moment.
    promised: Rc<History>,
}

impl Power for Again {
    fn stays_on(&mut self, _: &Shared<SimDisk>, history: &Rc<History>, _: Moment<'_>) -> bool {
        let Some(left) = &mut self.left else { return true };
        self.promised = history.clone();
        if *left == 0 {
            return false;
        }
        *left -= 1;
        true
    }
}
