//! Approvals of a person's machines. An approval is used at most once, by exactly the request that was approved, and is
//! never used after it was rejected, used, or expired. With an idempotency key, the same request may use it again.

use std::collections::BTreeMap;

use vestibule::{
    approvals::confirmations::{
        ActorRef, Approval, ApprovalDetails, ApprovalRequest, Command, Confirmations, MAX_OPEN, OPEN,
        PrincipalRef, Reply, State, Use,
    },
    base::time::Timestamp,
    http::problem::ApprovalError,
    identity::author::{Author, Credential},
    platform::store::Store,
};

use crate::{Sent, Simulation, simulate, sqlite::Sqlite};

const REQUESTERS: [&str; 2] = ["token a", "token b"];
const FINGERPRINTS: [&str; 3] = ["pay 1", "pay 2", "delete"];
/// How long the ledger keeps an outcome, in seconds.
const KEPT: i64 = 2_000;

#[test]
fn an_approval_is_used_once_by_the_same_request() {
    simulate("approvals", 25, run);
}

/// An approval, as it was requested and decided.
#[derive(Clone, Debug)]
struct KnownApproval {
    requester: &'static str,
    fingerprint: &'static str,
    created_at: i64,
    state: State,
    by: Option<&'static str>,
    key: Option<String>,
    key_until: i64,
}

/// A session of a person who decides.
#[derive(Clone)]
struct PersonSession {
    id: String,
    person: &'static str,
}

struct EndedSession {
    session: PersonSession,
    /// When it was reported as ended.
    at: i64,
}

struct World {
    store: Sqlite,
    approvals: BTreeMap<String, KnownApproval>,
    /// The live sessions of the two people.
    sessions: [PersonSession; 2],
    ended: Vec<EndedSession>,
}

impl KnownApproval {
    fn state_at(&self, now: i64) -> State {
        let is_open = matches!(self.state, State::Pending | State::Approved);
        if is_open && self.created_at + OPEN <= now { State::Expired } else { self.state }
    }

    /// Returns whether the object still has to store the approval.
    fn is_known(&self, now: i64) -> bool {
        (self.created_at + 2 * OPEN).max(self.key_until) > now
    }
}

fn refusal(state: State) -> ApprovalError {
    match state {
        State::Pending => ApprovalError::Pending,
        State::Approved => ApprovalError::Approved,
        State::Rejected => ApprovalError::Rejected,
        State::Used => ApprovalError::Used,
        State::Expired => ApprovalError::Expired,
    }
}

fn run(simulation: &mut Simulation) {
    let mut world = World {
        store: Sqlite::of::<Confirmations>(),
        approvals: BTreeMap::new(),
        sessions: ["ada", "root"].map(|person| PersonSession { id: format!("ses_{person}"), person }),
        ended: Vec::new(),
    };
    for _ in 0..150 {
        simulation.now += match simulation.random.below(30) {
            0 => simulation.random.within(OPEN - 5, 3 * OPEN),
            1 => simulation.random.within(-5, 0),
            _ => simulation.random.within(0, 40),
        };
        match simulation.random.weighted(&[6, 8, 5, 2, 1, 1]) {
            0 => world.ask(simulation),
            1 => world.use_up(simulation),
            2 => world.decide(simulation),
            3 => world.find(simulation),
            4 => world.end_sessions(simulation),
            _ => world.alarm(simulation),
        }
    }
}

impl World {
    fn an_id(&self, simulation: &mut Simulation) -> String {
        let latest: Vec<&String> = self.approvals.keys().rev().take(6).collect();
        if latest.is_empty() { "cnf_unknown".to_owned() } else { (*simulation.random.pick(&latest)).clone() }
    }

    fn ask(&mut self, simulation: &mut Simulation) {
        let (requester, fingerprint) =
            (*simulation.random.pick(&REQUESTERS), *simulation.random.pick(&FINGERPRINTS));
        // A client whose request got no answer asks again.
        for _ in 0..2 {
            let number = simulation.name("");
            let id = format!("cnf_{number:0>6}");
            let approval = ApprovalRequest {
                id: id.clone(),
                requester: requester.to_owned(),
                fingerprint: fingerprint.to_owned(),
                shown: ApprovalDetails {
                    method: "POST".to_owned(),
                    path: fingerprint.to_owned(),
                    principal: PrincipalRef::default(),
                    actor: ActorRef::default(),
                    ..ApprovalDetails::default()
                },
                created_at: Timestamp(0),
            };
            let now = simulation.now;
            let is_open = |approval: &&KnownApproval| {
                approval.requester == requester
                    && approval.created_at + OPEN > now
                    && matches!(approval.state, State::Pending | State::Approved)
            };
            let sent = simulation.send::<Confirmations>(&self.store, &Command::Ask(Box::new(approval)));
            let is_answered = sent.is_answered();
            if let Some(reply) = sent.reply() {
                // After the clock went back, two may be open: the later one counts.
                let same = self
                    .approvals
                    .iter()
                    .filter(|(_, approval)| is_open(approval) && approval.fingerprint == fingerprint);
                let known = same.max_by_key(|(_, approval)| approval.created_at);
                let open = self.approvals.values().filter(is_open).count();
                match reply {
                    Reply::Asked(found) => match known {
                        Some((known, approval)) => {
                            assert_eq!((&found.act.id, found.state), (known, approval.state_at(now)));
                        }
                        None => {
                            assert_eq!((&found.act.id, found.state), (&id, State::Pending));
                            let (created_at, by, key) = (now, None, None);
                            let state = State::Pending;
                            let approval = KnownApproval {
                                requester,
                                fingerprint,
                                created_at,
                                state,
                                by,
                                key,
                                key_until: 0,
                            };
                            self.approvals.insert(id, approval);
                        }
                    },
                    Reply::Full(_) => assert!(i64::try_from(open).unwrap() >= MAX_OPEN),
                    other => panic!("{other:?}"),
                }
            }
            if is_answered {
                return;
            }
        }
    }

    fn use_up(&mut self, simulation: &mut Simulation) {
        let id = self.an_id(simulation);
        let known = self.approvals.get(&id).cloned();
        let (mut requester, mut fingerprint) = known
            .as_ref()
            .map_or(("token a", "pay 1"), |approval| (approval.requester, approval.fingerprint));
        if simulation.random.one_in(6) {
            requester = *simulation.random.pick(&REQUESTERS);
        }
        if simulation.random.one_in(6) {
            fingerprint = *simulation.random.pick(&FINGERPRINTS);
        }
        let key = simulation.random.one_in(2).then(|| format!("key {}", simulation.random.below(3)));
        for _ in 0..2 {
            let request = Use {
                id: id.clone(),
                requester: requester.to_owned(),
                fingerprint: fingerprint.to_owned(),
                key: key.clone().map(|key| (key, KEPT)),
            };
            let sent = simulation.send::<Confirmations>(&self.store, &Command::Use(request));
            let is_answered = sent.is_answered();
            if let Some(reply) = sent.reply() {
                let wanted = self.wanted_use(&id, requester, fingerprint, key.as_ref(), simulation.now);
                match (&reply, &wanted) {
                    (Reply::Asked(found), Err(ApprovalError::Pending)) => assert_eq!(found.act.id, id),
                    (Reply::Refused(why), Err(wanted)) => assert_eq!(why, wanted, "{id}"),
                    (Reply::Approved(by, is_expired), Ok(())) => {
                        let approval = self.approvals.get_mut(&id).expect("an approval");
                        assert_eq!(approval.by, Some(by.as_str()).and_then(person));
                        assert_eq!(*is_expired, approval.created_at + OPEN <= simulation.now);
                        if approval.state == State::Approved {
                            approval.state = State::Used;
                            approval.key_until = if key.is_some() { simulation.now + KEPT } else { 0 };
                            approval.key.clone_from(&key);
                        }
                    }
                    _ => panic!("{id}: {reply:?}, not {wanted:?}"),
                }
            }
            if is_answered {
                return;
            }
        }
    }

    fn wanted_use(
        &self,
        id: &str,
        requester: &str,
        fingerprint: &str,
        key: Option<&String>,
        now: i64,
    ) -> Result<(), ApprovalError> {
        let approval = self
            .approvals
            .get(id)
            .filter(|approval| approval.is_known(now) && approval.requester == requester);
        let Some(approval) = approval else { return Err(ApprovalError::Unknown) };
        match approval.state_at(now) {
            State::Expired => Err(ApprovalError::Expired),
            _ if approval.fingerprint != fingerprint => Err(ApprovalError::Changed),
            State::Approved => Ok(()),
            State::Used if key.is_some() && approval.key.as_ref() == key => Ok(()),
            state => Err(refusal(state)),
        }
    }

    fn decide(&mut self, simulation: &mut Simulation) {
        let (id, approves) = (self.an_id(simulation), simulation.random.below(4) > 0);
        let mut session = simulation.random.pick(&self.sessions).clone();
        // A command of a session that has ended may be under way.
        let last = self.ended.last().filter(|_| simulation.random.one_in(3));
        let ended_at = last.map(|ended| {
            session = ended.session.clone();
            ended.at
        });
        let PersonSession { id: session, person: by } = session;
        let age = simulation.random.within(0, 6);
        let author = Author {
            user: Some(by.to_owned()),
            credential: Credential::Session(session.clone()),
            checked_at: Timestamp(simulation.now - age),
        };
        let command = Command::Decide { id: id.clone(), author, approves };
        let reply = match simulation.send::<Confirmations>(&self.store, &command) {
            Sent::Answered(reply) | Sent::Lost(reply) => reply,
            Sent::Failed => return assert!(age > 5),
            Sent::Killed => return,
        };
        assert!(age <= 5);
        let now = simulation.now;
        if reply == Reply::SessionEnded {
            return assert!(ended_at.is_some());
        }
        // A minute is longer than a command is on its way, by far.
        assert!(ended_at.is_none_or(|at| now - at >= 55), "{session} has ended");
        let wanted = if approves { State::Approved } else { State::Rejected };
        let Some(approval) = self.approvals.get_mut(&id).filter(|approval| approval.is_known(now)) else {
            return assert_eq!(reply, Reply::Found(None));
        };
        match (approval.state_at(now), &reply) {
            (State::Pending, Reply::Found(Some(found))) => {
                assert_eq!(found.state, wanted);
                (approval.state, approval.by) = (wanted, Some(by));
            }
            (state, Reply::Found(Some(_))) => assert_eq!(state, wanted),
            (state, reply) => assert_eq!(*reply, Reply::Refused(refusal(state))),
        }
    }

    fn find(&mut self, simulation: &mut Simulation) {
        let now = simulation.now;
        if simulation.random.one_in(2) {
            let id = self.an_id(simulation);
            let sent = simulation.send::<Confirmations>(&self.store, &Command::Find(id.clone()));
            let Some(Reply::Found(found)) = sent.reply() else { return };
            let approval = self.approvals.get(&id).filter(|approval| approval.is_known(now));
            match found {
                Some(found) => check_found(&found, approval.expect("an approval"), now),
                // Without its details, it is kept only for its key.
                None => {
                    assert!(
                        approval.is_none_or(|approval| approval.created_at + 2 * OPEN <= now + 5),
                        "{id} is missing"
                    );
                }
            }
            return;
        }
        let sent = simulation.send::<Confirmations>(&self.store, &Command::List(None, 100));
        let Some(Reply::All(all)) = sent.reply() else { return };
        let wanted = self.approvals.values().filter(|approval| approval.created_at + 2 * OPEN > now).count();
        assert_eq!(all.len(), wanted);
        for found in all {
            check_found(&found, &self.approvals[&found.act.id], now);
        }
    }

    fn end_sessions(&mut self, simulation: &mut Simulation) {
        let at = simulation.random.below(2);
        let session = self.sessions[at].clone();
        let ids = format!("[{:?}]", session.id);
        if simulation.send::<Confirmations>(&self.store, &Command::EndedSessions(ids)).reply().is_some() {
            self.ended.push(EndedSession { session, at: simulation.now });
            self.sessions[at].id = simulation.name("ses_");
        }
    }

    fn alarm(&mut self, simulation: &mut Simulation) {
        simulation.alarm::<Confirmations>(&self.store);
        // What is deleted is over for ever: the clock does not go back before it.
        let now = simulation.now;
        self.approvals.retain(|_, approval| approval.is_known(now));
        let rows = self.store.run("SELECT count(*) FROM acts", &[]).expect("a count");
        assert_eq!(rows[0].integer(0), Ok(i64::try_from(self.approvals.len()).unwrap()));
        let shown =
            self.store.run("SELECT count(*) FROM acts WHERE shown <> '' AND until <= ?", &[now.into()]);
        assert_eq!(shown.expect("a count")[0].integer(0), Ok(0), "details are kept too long");
    }
}

fn person(name: &str) -> Option<&'static str> {
    ["ada", "root"].into_iter().find(|known| *known == name)
}

fn check_found(found: &Approval, approval: &KnownApproval, now: i64) {
    assert_eq!(found.state, approval.state_at(now), "{}", found.act.id);
    assert_eq!(
        (found.act.requester.as_str(), found.act.fingerprint.as_str()),
        (approval.requester, approval.fingerprint)
    );
    assert_eq!(found.decided_by.as_deref(), approval.by);
}
