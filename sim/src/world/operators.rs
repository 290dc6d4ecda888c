//! Operators act: what the scenario's `[[operation]]`s ask of members, and what members answer.
//!
//! An operator is a client of one call: it asks the member that the operation means, does not ask again, and a refusal is
//! written down, not judged. A scenario that minds counts them (`operations_failed`).

use super::World;
use super::node::members_of;
use super::plan::resolve;
use super::record::{NodeIndex, What};
use super::tasks::{CallError, CallResult};
use crate::scenario::{OperationAction, Target};
use seedbed::api::{Credentials, Request, RequestId};
use seedbed::member::Input;
use seedbed::pb::etcdserverpb::{
    AlarmAction, AlarmMember, AlarmRequest, CompactionRequest, MemberAddRequest, MemberPromoteRequest,
    MemberRemoveRequest, MemberUpdateRequest,
};
use seedbed::raft::NodeId;

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
            OperationAction::MemberAdd { target, learner } => {
                let Some(machine) = self.one(target, stream) else { return };
                if self.is_member(machine) {
                    // Under another address, perhaps: a machine has room for one member.
                    return self.operation_failed(number, &format!("n{} is a member already", machine + 1));
                }
                let peer_urls = vec![format!("http://n{}:2380", machine + 1)];
                self.ask_leader(number, Request::MemberAdd(MemberAddRequest { peer_urls, is_learner: learner }));
            }
            OperationAction::MemberRemove { target } => {
                let Some(id) = self.id_of(target, stream) else { return };
                self.ask_leader(number, Request::MemberRemove(MemberRemoveRequest { id }));
            }
            OperationAction::MemberPromote { target } => {
                let Some(id) = self.id_of(target, stream) else { return };
                self.ask_leader(number, Request::MemberPromote(MemberPromoteRequest { id }));
            }
            OperationAction::MemberUpdate { target } => {
                let Some(machine) = self.one(target, stream) else { return };
                let id = self.nodes[usize::from(machine)].id;
                // A port that no request before had: each asks for something new.
                let peer_urls = vec![format!("http://n{}:{}", machine + 1, 20_000 + self.next_operator_call % 10_000)];
                self.ask_leader(number, Request::MemberUpdate(MemberUpdateRequest { id, peer_urls }));
            }
            OperationAction::ReadTransaction { target, lasting } => {
                let lasting = self.fault_streams[stream].within(lasting);
                self.tell(number, target, Input::HoldImage(lasting));
            }
        }
    }

    fn all(&mut self, target: Target, stream: usize) -> Vec<NodeIndex> {
        let roles = self.roles();
        members_of(resolve(target, roles, &mut self.fault_streams[stream])).collect()
    }

    /// The id under which the machine that is meant is a member, or was one last.
    fn id_of(&mut self, target: Target, stream: usize) -> Option<NodeId> {
        self.one(target, stream).map(|machine| self.nodes[usize::from(machine)].id)
    }

    /// Asks the member that was elected last.
    fn ask_leader(&mut self, number: u16, request: Request) {
        match self.observer.leader() {
            Some(leader) => self.ask(number, leader, |_| request),
            None => self.operation_failed(number, "no leader was elected yet"),
        }
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
            Input::RequestAs(RequestId(call), Credentials::CommonName("root".into()), Box::new(request))
        } else {
            Input::Request(RequestId(call), Box::new(request))
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
