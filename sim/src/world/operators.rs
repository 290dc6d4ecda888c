//! Operators act: what the scenario's `[[operation]]`s ask of members, and what members answer.
//!
//! An operator is a client of one call: it asks the member that the operation means, does not ask again, and a refusal is
//! written down, not judged. A scenario that minds counts them (`operations_failed`).

use super::World;
use super::node::members_of;
use super::plan::{Roles, resolve};
use super::record::{NodeIndex, What};
use super::tasks::{CallError, CallResult};
use crate::scenario::{OperationAction, Target};
use seedbed::api::{Credentials, Request, RequestId};
use seedbed::member::Input;
use seedbed::pb::etcdserverpb::{AlarmAction, AlarmMember, AlarmRequest, CompactionRequest};

/// Calls of operators have numbers that no client's call has.
pub(super) const CALLS: u64 = 1 << 63;

impl World {
    /// An operation's moment has come.
    pub(super) fn operate(&mut self, number: u16) {
        let record = self.note(What::Operated(number));
        let action = self.scenario.operations[usize::from(number)].action;
        let stream = self.scenario.faults.len() + usize::from(number);
        match action {
            OperationAction::MoveLeader { to } => {
                let to = self.one(to, stream);
                let (Some(leader), Some(to)) = (self.observer.leader(), to) else { return };
                let request = Request::MoveLeader(self.nodes[usize::from(to)].id);
                self.ask(number, leader, |_| request);
            }
            OperationAction::Snapshot { target } => self.tell(number, target, Input::TakeSnapshot),
            OperationAction::Compact { target, revision } => {
                let Some(asked) = self.one(target, stream) else { return };
                self.ask(number, asked, |head| {
                    Request::Compact(CompactionRequest { revision: revision.at(head), physical: false })
                });
            }
            OperationAction::Defrag { target } => {
                for member in self.all(target, stream) {
                    self.ask(number, member, |_| Request::Defragment);
                    self.current = record;
                }
            }
            OperationAction::AlarmDisarm { target } => {
                let Some(asked) = self.one(target, stream) else { return };
                let raised = self.nodes[usize::from(asked)].member().map(|member| member.alarms());
                // As `etcdctl alarm disarm` does: it asks for those that are raised, and takes back one after another.
                for AlarmMember { member_id, alarm } in raised.unwrap_or_default() {
                    let action = AlarmAction::Deactivate.into();
                    self.ask(number, asked, |_| Request::Alarm(AlarmRequest { action, member_id, alarm }));
                    self.current = record;
                }
            }
            OperationAction::ReadTransaction { target, lasting } => {
                let lasting = self.fault_streams[stream].within(lasting);
                self.tell(number, target, Input::HoldImage(lasting));
            }
        }
    }

    fn all(&mut self, target: Target, stream: usize) -> Vec<NodeIndex> {
        let roles = Roles { members: self.nodes.len() as u8, leader: self.observer.leader() };
        members_of(resolve(target, roles, &mut self.fault_streams[stream])).collect()
    }

    fn one(&mut self, target: Target, stream: usize) -> Option<NodeIndex> {
        self.all(target, stream).first().copied()
    }

    /// Gives the members that an operation means an input that has no answer.
    fn tell(&mut self, number: u16, target: Target, input: Input) {
        let stream = self.scenario.faults.len() + usize::from(number);
        let record = self.current;
        for member in self.all(target, stream) {
            self.current = record;
            if self.nodes[usize::from(member)].is_up() {
                self.input(member, input.clone());
            } else {
                self.operation_failed(number, &format!("n{} is down", member + 1));
            }
        }
    }

    /// Asks a member for something that depends on its newest revision.
    fn ask(&mut self, number: u16, member: NodeIndex, request: impl FnOnce(i64) -> Request) {
        let Some(asked) = self.nodes[usize::from(member)].member() else {
            self.operation_failed(number, &format!("n{} is down", member + 1));
            return;
        };
        let request = request(asked.store().revision());
        let call = self.next_operator_call;
        self.next_operator_call += 1;
        self.operator_calls.insert(call, number);
        let input = if self.scenario.cluster.auth {
            // Operators have certificates.
            Input::RequestAs(RequestId(call), Credentials::CommonName("root".into()), request)
        } else {
            Input::Request(RequestId(call), request)
        };
        self.input(member, input);
    }

    /// A member answered an operator.
    pub(super) fn on_operator_reply(&mut self, call: u64, result: &CallResult) {
        let Some(number) = self.operator_calls.remove(&call) else { return };
        if let Err(error) = result {
            let why = match error {
                CallError::Member(error) => error.to_string(),
                CallError::Refused | CallError::Reset | CallError::TimedOut => "no answer".to_owned(),
            };
            self.operation_failed(number, &why);
        }
    }

    fn operation_failed(&mut self, number: u16, why: &str) {
        let record = self.note_aside(self.current, What::OperationFailed(number));
        self.notes.insert(record, why.to_owned());
        self.observer.operation_failed();
    }
}
