//! Random histories: each ceremony signs in at most once, only an active user, only with a stored passkey of that user,
//! and counters only grow.

use std::collections::HashSet;

use proptest::prelude::*;

use super::store::{add_user, factor_at, in_person_at, new, ticket};
use crate::{
    accounts::{
        Accounts, Command,
        factors::{
            Enrollment, FactorCommand, FactorReply, FactorWrite, Proof,
            passkeys::{NewPasskey, UsedCeremony, UsedPasskey},
            ticket::Purpose,
        },
        settings::RequiredFactor,
        tests::{NOW, change, set_up},
    },
    base::time::Timestamp,
    identity::author::Author,
};

const USERS: [&str; 2] = ["root", "ada"];

/// Something that happens. Ceremonies and passkeys are named by how long ago they were made.
#[derive(Clone, Debug)]
enum Act {
    Begin,
    Add { user: usize, ceremony: usize, counter: u32 },
    SignIn { ceremony: usize, passkey: usize, counter: u32 },
    Finish { user: usize, ceremony: usize, passkey: usize, counter: u32 },
    Reauthenticate { user: usize, ceremony: usize, passkey: usize, counter: u32 },
    Remove { passkey: usize },
    Switch { active: bool },
    Wait { seconds: i64 },
}

#[derive(Debug)]
struct Known {
    user: usize,
    counter: u32,
    is_stored: bool,
}

fn act() -> impl Strategy<Value = Act> {
    let (user, recent, counter) = (0_usize..2, 0_usize..4, 0_u32..6);
    let any_use = (user.clone(), recent.clone(), recent.clone(), counter.clone());
    prop_oneof![
        5 => Just(Act::Begin),
        4 => (user, recent.clone(), counter).prop_map(|(user, ceremony, counter)| Act::Add { user, ceremony, counter }),
        6 => any_use.clone().prop_map(|(_, ceremony, passkey, counter)| Act::SignIn { ceremony, passkey, counter }),
        4 => any_use.clone().prop_map(|(user, ceremony, passkey, counter)| Act::Finish { user, ceremony, passkey, counter }),
        3 => any_use.prop_map(|(user, ceremony, passkey, counter)| Act::Reauthenticate { user, ceremony, passkey, counter }),
        1 => recent.prop_map(|passkey| Act::Remove { passkey }),
        1 => any::<bool>().prop_map(|active| Act::Switch { active }),
        1 => (1_i64..200).prop_map(|seconds| Act::Wait { seconds }),
    ]
}

proptest! {
    #[test]
    fn nothing_signs_in_twice(acts in proptest::collection::vec(act(), 1..100)) {
        let store = set_up();
        add_user(&store, "ada");
        let (mut now, mut is_active) = (NOW, true);
        let (mut ceremonies, mut passkeys) = (Vec::<UsedCeremony>::new(), Vec::<Known>::new());
        let mut used = HashSet::new();
        let mut tickets = 0;
        for act in acts {
            let recent = |length: usize, ago: usize| length.checked_sub(ago + 1);
            match act {
                Act::Begin => ceremonies.push(UsedCeremony {
                    id: format!("cer_{}", ceremonies.len()),
                    expires_at: Timestamp(now.0 + 300),
                }),
                Act::Add { user, ceremony, counter } => {
                    let Some(at) = recent(ceremonies.len(), ceremony) else { continue };
                    if user == 1 && !is_active {
                        continue;
                    }
                    let ceremony = &ceremonies[at];
                    let name = format!("psk_{}", passkeys.len());
                    let passkey = NewPasskey { ceremony: ceremony.clone(), ..new(&name, counter) };
                    let add = FactorWrite::Enroll(Enrollment::AddPasskey(passkey));
                    let reply = in_person_at(&store, USERS[user], add, now);
                    let is_open = ceremony.expires_at > now && !used.contains(&ceremony.id);
                    let count = passkeys.iter().filter(|known| known.user == user && known.is_stored).count();
                    match reply {
                        FactorReply::PasskeyAdded { is_first } => {
                            prop_assert!(is_open);
                            prop_assert_eq!(is_first, count == 0);
                            used.insert(ceremony.id.clone());
                            passkeys.push(Known { user, counter, is_stored: true });
                        }
                        FactorReply::PasskeyLimit => prop_assert_eq!(count, 20),
                        reply => {
                            prop_assert_eq!(reply, FactorReply::CeremonyUnusable);
                            prop_assert!(!is_open);
                        }
                    }
                }
                Act::SignIn { ceremony, passkey, counter }
                | Act::Finish { ceremony, passkey, counter, .. }
                | Act::Reauthenticate { ceremony, passkey, counter, .. } => {
                    let (Some(at), Some(which)) = (recent(ceremonies.len(), ceremony), recent(passkeys.len(), passkey))
                    else { continue };
                    let ceremony = &ceremonies[at];
                    let proof = UsedPasskey { id: format!("psk_{which}"), counter, ceremony: ceremony.clone() };
                    let (reply, by) = match act {
                        Act::Finish { user, .. } => {
                            tickets += 1;
                            let mut ticket = ticket(&store, USERS[user], Purpose::SignIn, &format!("tkt_{tickets}"));
                            ticket.expires_at = Timestamp(now.0 + 300);
                            if user == 1 && !is_active {
                                continue;
                            }
                            (factor_at(&store, FactorCommand::SignIn(ticket, Proof::Passkey(proof)), now), Some(user))
                        }
                        Act::Reauthenticate { user, .. } => {
                            if user == 1 && !is_active {
                                continue;
                            }
                            (in_person_at(&store, USERS[user], FactorWrite::UsePasskey(proof), now), Some(user))
                        }
                        _ => (factor_at(&store, FactorCommand::SignInWithPasskey(proof), now), None),
                    };
                    let known = &mut passkeys[which];
                    let is_open = ceremony.expires_at > now && !used.contains(&ceremony.id);
                    let is_theirs = known.is_stored
                        && by.is_none_or(|user| user == known.user)
                        && (known.user == 0 || is_active);
                    let grows = counter > known.counter || (counter == 0 && known.counter == 0);
                    let want = match (is_open, is_theirs, grows) {
                        (false, _, _) => Some(FactorReply::CeremonyUnusable),
                        (true, false, _) => Some(FactorReply::Wrong),
                        (true, true, false) => Some(FactorReply::CounterWentBack),
                        (true, true, true) => None,
                    };
                    if let FactorReply::SignedIn(status) = &reply {
                        prop_assert_eq!(&want, &None);
                        prop_assert!(status.active);
                        prop_assert!(used.insert(ceremony.id.clone()), "used twice");
                        known.counter = counter;
                    } else {
                        prop_assert_eq!(Some(reply), want);
                    }
                }
                Act::Remove { passkey } => {
                    let Some(which) = recent(passkeys.len(), passkey) else { continue };
                    let known = &mut passkeys[which];
                    if known.user == 1 && !is_active {
                        continue;
                    }
                    let remove = FactorWrite::RemovePasskey(format!("psk_{which}"), RequiredFactor::Nobody);
                    let reply = in_person_at(&store, USERS[known.user], remove, now);
                    let want = if known.is_stored { FactorReply::Done } else { FactorReply::NotFound };
                    prop_assert_eq!(reply, want);
                    known.is_stored = false;
                }
                Act::Switch { active } => {
                    let command = Command::Write(Author::in_person("root", now), change("ada", None, Some(active)));
                    store.handle::<Accounts>(&command, now).expect("a reply");
                    is_active = active;
                }
                Act::Wait { seconds } => now = Timestamp(now.0 + seconds),
            }
        }
    }
}
