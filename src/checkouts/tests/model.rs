//! Checkouts against a model of them.

use super::*;

/// An operation. There are few providers, refs and owners, so that operations collide.
#[derive(Clone, Debug)]
enum Operation {
    Begin(&'static str, &'static str, Option<&'static str>),
    Confirm(&'static str, &'static str),
    Cancel(&'static str, &'static str, i64),
    Tick,
    Wait(i64),
}

fn operation() -> impl Strategy<Value = Operation> {
    let provider = || prop::sample::select(vec!["a", "b"]);
    let reference = || prop::sample::select(vec!["r", "s"]);
    let owner = prop::sample::select(vec![None, Some("user:ada"), Some("user:bob")]);
    prop_oneof![
        3 => (provider(), reference(), owner).prop_map(|(p, r, o)| Operation::Begin(p, r, o)),
        2 => (provider(), reference()).prop_map(|(p, r)| Operation::Confirm(p, r)),
        2 => (provider(), reference(), 1..4_i64).prop_map(|(p, r, n)| Operation::Cancel(p, r, n)),
        1 => Just(Operation::Tick),
        2 => (1..40_i64).prop_map(Operation::Wait),
    ]
}

/// An attempt in the model.
#[derive(Clone, Debug)]
struct ModelAttempt {
    owner: Option<&'static str>,
    status: Status,
    late: bool,
    expires_at: i64,
    released: bool,
}

type Key = (&'static str, &'static str);

#[derive(Default)]
struct Model {
    attempts: BTreeMap<Key, Vec<ModelAttempt>>,
    early: BTreeSet<Key>,
}

impl Model {
    fn begin(&mut self, key: Key, owner: Option<&'static str>, now: i64) -> BeginOutcome {
        let all = self.attempts.entry(key).or_default();
        if all.last().is_some_and(|last| last.owner.is_some() && last.owner != owner) {
            return BeginOutcome::Conflict;
        }
        if let Some(last) =
            all.last_mut().filter(|last| matches!(last.status, Status::Pending | Status::Confirmed))
        {
            (last.owner, last.expires_at) = (owner, last.expires_at.max(now + 30));
            return BeginOutcome::Continued;
        }
        for earlier in all.iter_mut() {
            earlier.released = true;
        }
        let status = if self.early.remove(&key) { Status::Confirmed } else { Status::Pending };
        all.push(ModelAttempt { owner, status, late: false, expires_at: now + 30, released: false });
        BeginOutcome::Started
    }

    fn confirm(&mut self, key: Key) {
        match self.attempts.get_mut(&key).and_then(|all| all.last_mut()) {
            None => drop(self.early.insert(key)),
            Some(last) if last.status == Status::Confirmed => {}
            Some(last) => (last.late, last.status) = (last.status != Status::Pending, Status::Confirmed),
        }
    }

    fn expire(&mut self, now: i64) {
        for one in self.attempts.values_mut().flatten() {
            if one.status == Status::Pending && one.expires_at <= now {
                one.status = Status::Expired;
            }
        }
    }

    /// Returns the attempts to release, each with whether another provider's checkout has the same ref.
    fn due(&self) -> BTreeSet<(Attempt, bool)> {
        let is_shared = |(provider, reference): Key| {
            self.attempts.iter().any(|(other, all)| {
                other.1 == reference
                    && other.0 != provider
                    && all.iter().any(|one| matches!(one.status, Status::Pending | Status::Confirmed))
            })
        };
        let mut due = BTreeSet::new();
        for (key, all) in &self.attempts {
            for (at, one) in all.iter().enumerate() {
                if !one.released && matches!(one.status, Status::Cancelled | Status::Expired) {
                    let number = i64::try_from(at).expect("few") + 1;
                    due.insert((attempt(key.0, key.1, number), is_shared(*key)));
                }
            }
        }
        due
    }
}

proptest! {
    /// After any sequence of operations, the object agrees with the model, and no attempt leaves `confirmed`.
    #[test]
    fn agrees_with_the_model(operations in prop::collection::vec(operation(), 0..40)) {
        let store = Sqlite::of::<Checkouts>();
        let mut model = Model::default();
        let mut now = 0;
        let mut confirmed: BTreeSet<Attempt> = BTreeSet::new();
        for operation in operations {
            match operation {
                Operation::Begin(provider, reference, owner) => {
                    let reply = call(&store, now, &begin_of(provider, reference, owner));
                    prop_assert_eq!(reply, Reply::Begun(model.begin((provider, reference), owner, now)));
                }
                Operation::Confirm(provider, reference) => {
                    call(&store, now, &confirm_of(provider, reference));
                    model.confirm((provider, reference));
                }
                Operation::Cancel(provider, reference, number) => {
                    call(&store, now, &Command::Cancel(None, attempt(provider, reference, number)));
                    let at = usize::try_from(number - 1).expect("a place");
                    let all = model.attempts.get_mut(&(provider, reference));
                    if let Some(one) = all.and_then(|all| all.get_mut(at))
                        && one.status == Status::Pending
                    {
                        one.status = Status::Cancelled;
                    }
                }
                Operation::Tick => {
                    let due = due_at(&store, now);
                    let listed: BTreeSet<_> =
                        due.iter().map(|one| (one.attempt.clone(), one.is_shared)).collect();
                    prop_assert_eq!(listed, model.due());
                    call(&store, now, &Command::Released(due.into_iter().map(|one| one.attempt).collect()));
                    for one in model.attempts.values_mut().flatten() {
                        one.released |= matches!(one.status, Status::Cancelled | Status::Expired);
                    }
                }
                Operation::Wait(seconds) => {
                    now += seconds;
                    model.expire(now);
                }
            }
            for reference in ["r", "s"] {
                let found = read(&store, now, reference);
                let plain: Vec<_> = found
                    .iter()
                    .map(|one| (one.attempt.clone(), one.owner.as_deref(), one.status, one.late, one.expires_at.0))
                    .collect();
                let mut want = Vec::new();
                for (key, all) in model.attempts.iter().filter(|(key, _)| key.1 == reference) {
                    for (at, one) in all.iter().enumerate().rev() {
                        let number = i64::try_from(at).expect("few") + 1;
                        let which = attempt(key.0, key.1, number);
                        want.push((which, one.owner, one.status, one.late, one.expires_at));
                    }
                }
                prop_assert_eq!(plain, want);
                for one in &found {
                    prop_assert!(one.status == Status::Confirmed || !confirmed.contains(&one.attempt));
                    prop_assert_eq!(one.evidence.is_some(), one.status == Status::Confirmed);
                    if one.status == Status::Confirmed {
                        confirmed.insert(one.attempt.clone());
                    }
                }
            }
        }
    }
}
