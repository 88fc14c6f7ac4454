//! What a command to the registry does, by a plain list of sessions.

use vestibule::{
    base::time::Timestamp,
    identity::author::{Author, Credential, Refusal},
    sessions::{
        lifetime::Limits,
        registry::{
            Command, End, LiveSession, Reauthentication, Replacement, Reply, Session, UserStatus, Which,
        },
    },
};

use super::{Reference, Row};

impl Reference {
    /// Returns whether a command comes too late.
    pub(super) fn fails(command: &Command, now: i64) -> bool {
        let author = match command {
            Command::End(End { author: Some(author), .. }) => author,
            Command::Reauthenticate(request) => &request.author,
            _ => return false,
        };
        now - author.checked_at.0 > 5
    }

    fn is_active(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.active)
    }

    /// Returns what is known of a session, if it is live.
    fn live(&self, id: &str, limits: Limits, now: i64) -> Option<LiveSession> {
        let row = self.rows.get(id).filter(|row| row.expires_at > now && self.is_active())?;
        let within = |start: i64, limit: Option<i64>| limit.map_or(i64::MAX, |limit| start + limit);
        let first = within(row.created_at, limits.max_lifetime).min(within(row.last_seen_at, limits.idle));
        let end = row.expires_at.min(first);
        (end > now).then(|| LiveSession {
            role: self.status.as_ref().expect("a status").role,
            expires_at: Timestamp(end),
            created_at: Timestamp(row.created_at),
            authenticated_at: Timestamp(row.authenticated_at),
        })
    }

    /// Ends sessions, and returns their number.
    fn end(&mut self, now: i64, which: impl Fn(&str, &Row) -> bool) -> u64 {
        let ids: Vec<String> =
            self.rows.iter().filter(|(id, row)| which(id, row)).map(|(id, _)| id.clone()).collect();
        self.reported.retain(|_, until| *until > now);
        for id in &ids {
            self.rows.remove(id);
            self.reported.insert(id.clone(), now + 60);
            self.ended.insert(id.clone());
        }
        ids.len().try_into().unwrap()
    }

    /// Returns a session and those that have replaced it.
    fn latest(&self, one: &str) -> Vec<String> {
        let next = |id: &String| self.rows.get(id).and_then(|row| row.replaced_by.clone());
        std::iter::successors(Some(one.to_owned()), next).collect()
    }

    /// Ends a session, those that it has replaced, and those that have replaced it if it is live. They do not count.
    fn end_one(&mut self, now: i64, one: &str) -> u64 {
        let is_live = self.rows.get(one).is_some_and(|row| row.expires_at > now);
        let later = if is_live { self.latest(one) } else { vec![] };
        let earlier: Vec<String> =
            self.rows.keys().filter(|id| self.latest(id).iter().any(|later| later == one)).cloned().collect();
        self.end(now, |id, _| id != one && later.iter().chain(&earlier).any(|other| other == id));
        self.end(now, |id, _| id == one)
    }

    fn end_selected(&mut self, now: i64, which: &Which, own: &str) -> u64 {
        match which {
            Which::One(id) => self.end_one(now, id),
            Which::All => {
                self.end(now, |_, row| row.replaced_by.is_some());
                self.end(now, |_, _| true)
            }
            Which::Others => {
                let kept = self.latest(own);
                self.end(now, |id, row| row.replaced_by.is_some() && !kept.iter().any(|kept| kept == id));
                self.end(now, |id, _| !kept.iter().any(|kept| kept == id))
            }
        }
    }

    fn set_status(&mut self, new: &UserStatus, now: i64) {
        if self.status.as_ref().is_some_and(|known| known.version > new.version) {
            return;
        }
        self.status = Some(new.clone());
        if !new.active {
            self.end(now, |_, _| true);
            self.profile = None;
        }
    }

    /// Carries out a command, and returns the reply.
    pub(super) fn apply(&mut self, command: &Command, now: i64) -> Reply {
        match command {
            Command::Open(status, session) => self.open(status, session, now),
            Command::Check(id, limits) => match self.live(id, *limits, now) {
                Some(live) => {
                    let row = self.rows.get_mut(id).expect("a session");
                    if now - row.last_seen_at >= 60 {
                        row.last_seen_at = now;
                    }
                    Reply::Live(live)
                }
                None => {
                    if self.is_active() && self.rows.get(id).is_some_and(|row| row.expires_at > now) {
                        self.end(now, |other, _| other == id);
                    }
                    Reply::Gone
                }
            },
            Command::CheckReadOnly(id, limits) => {
                self.live(id, *limits, now).map_or(Reply::Gone, Reply::Live)
            }
            Command::Deciding { session, .. } => {
                self.live(session, Limits::default(), now).map_or(Reply::Gone, Reply::Live)
            }
            Command::Extend(id, end) => {
                let row =
                    self.rows.get_mut(id).filter(|row| row.expires_at > now && row.replaced_by.is_none());
                let Some(row) = row else { return Reply::Done(0) };
                row.expires_at = row.expires_at.max(end.0);
                Reply::Done(1)
            }
            Command::List(limits) => self.list(*limits, now),
            Command::SignOut(id) => Reply::Done(self.end_one(now, id)),
            Command::End(End { author, which, .. }) => {
                let mut own = "";
                if let Some(Author { credential: Credential::Session(id), .. }) = author {
                    own = id;
                    if self.live(id, Limits::default(), now).is_none() {
                        return Reply::Refused(Refusal::SessionEnded);
                    }
                }
                Reply::Done(self.end_selected(now, which, own))
            }
            Command::Reauthenticate(request) => self.reauthenticate(request, now),
            Command::LogOut(logout) => {
                if !self.logout_tokens.insert(logout.token.clone()) {
                    return Reply::AlreadyUsed;
                }
                Reply::Done(self.end_selected(now, &logout.which, ""))
            }
            Command::Apply(status) => {
                self.set_status(status, now);
                Reply::UserStatus(self.status.clone())
            }
            Command::RequireCredentials(clock) => {
                self.required_clock = self.required_clock.max(*clock);
                Reply::Done(0)
            }
            Command::PasswordChanged(change) => {
                self.set_status(&change.status, now);
                self.password_version = self.password_version.max(change.version);
                for id in change.kept_session.iter().flat_map(|id| self.latest(id)).collect::<Vec<_>>() {
                    if let Some(row) = self.rows.get_mut(&id) {
                        row.version = row.version.max(change.version);
                    }
                }
                Reply::Done(self.end(now, |_, row| row.version < change.version))
            }
            Command::Profile(profile) => {
                if self.is_active() {
                    self.profile = Some(profile.clone());
                }
                Reply::Done(0)
            }
            Command::WithProfile(_) => {
                Reply::WithProfile(Box::new(Reply::UserStatus(self.status.clone())), self.profile.clone())
            }
            other => panic!("{other:?}"),
        }
    }

    fn open(&mut self, status: &UserStatus, session: &Session, now: i64) -> Reply {
        if session.credentials.is_some_and(|clock| clock < self.required_clock) {
            return Reply::Stale;
        }
        self.set_status(status, now);
        if !self.is_active() || self.password_version > status.version {
            return Reply::Gone;
        }
        self.rows.retain(|_, row| row.expires_at > now);
        // Records that are over are deleted.
        self.end(now, |_, _| false);
        let row = Row {
            created_at: now,
            last_seen_at: now,
            expires_at: session.expires_at.0,
            authenticated_at: now,
            version: status.version,
            replaced_by: None,
        };
        assert!(self.rows.insert(session.id.clone(), row).is_none());
        Reply::Done(1)
    }

    fn list(&self, limits: Limits, now: i64) -> Reply {
        let mut rows: Vec<(&String, &Row)> =
            self.rows.iter().filter(|(_, row)| row.expires_at > now && row.replaced_by.is_none()).collect();
        rows.sort_by_key(|(id, row)| (std::cmp::Reverse(row.last_seen_at), (*id).clone()));
        let session = |(id, row): (&String, &Row)| {
            let end =
                limits.end(Timestamp(row.created_at), Timestamp(row.last_seen_at), Timestamp(row.expires_at));
            Session {
                last_seen_at: Timestamp(row.last_seen_at),
                authenticated_at: Timestamp(row.authenticated_at),
                ..Session::opened(id, Timestamp(row.created_at), end)
            }
        };
        Reply::Sessions(rows.into_iter().map(session).filter(|one| one.expires_at.0 > now).collect())
    }

    fn reauthenticate(&mut self, request: &Reauthentication, now: i64) -> Reply {
        let refused = Reply::Refused(Refusal::SessionEnded);
        let Credential::Session(old) = &request.author.credential else { panic!("a token") };
        if self.live(old, Limits::default(), now).is_none() {
            return refused;
        }
        let row = self.rows[old].clone();
        let id = if row.replaced_by.is_some() {
            self.latest(old).pop().expect("a session")
        } else {
            let id = request.new_session.clone();
            let new =
                Row { last_seen_at: now, authenticated_at: now, expires_at: request.expires_at.0, ..row };
            self.rows.insert(id.clone(), new);
            let row = self.rows.get_mut(old).expect("a session");
            row.replaced_by = Some(id.clone());
            row.expires_at = row.expires_at.min(now + 30);
            id
        };
        self.live(&id, Limits::default(), now)
            .map_or(refused, |live| Reply::Replacement(Replacement { id, live }))
    }
}
