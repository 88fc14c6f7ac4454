//! Random histories: whatever happens in between, each step, recovery code and ticket signs a user in at most once, and
//! only a user who is active.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const USERS: [&str; 2] = ["root", "ada"];

/// Something that happens.
#[derive(Clone, Debug)]
enum Act {
    Enroll { user: usize, id: u8, step: i64 },
    Issue { user: usize },
    SignIn { ticket: usize, id: u8, step: i64 },
    Recover { ticket: usize, code: u8 },
    Renew { user: usize },
    Remove { user: usize },
    Switch { active: bool },
    Wait { seconds: i64 },
}

fn act() -> impl Strategy<Value = Act> {
    let user = 0_usize..2;
    prop_oneof![
        2 => (user.clone(), 0_u8..3, 0_i64..8).prop_map(|(user, id, step)| Act::Enroll { user, id, step }),
        4 => user.clone().prop_map(|user| Act::Issue { user }),
        8 => (0_usize..6, 0_u8..3, 0_i64..8).prop_map(|(ticket, id, step)| Act::SignIn { ticket, id, step }),
        5 => (0_usize..6, 0_u8..6).prop_map(|(ticket, code)| Act::Recover { ticket, code }),
        1 => user.clone().prop_map(|user| Act::Renew { user }),
        1 => user.prop_map(|user| Act::Remove { user }),
        1 => any::<bool>().prop_map(|active| Act::Switch { active }),
        1 => (1_i64..400).prop_map(|seconds| Act::Wait { seconds }),
    ]
}

proptest! {
    #[test]
    fn nothing_signs_in_twice(acts in proptest::collection::vec(act(), 1..120)) {
        let store = set_up();
        add_user(&store, "ada");
        let (mut now, mut is_active, mut tickets) = (NOW, true, Vec::<Ticket>::new());
        // Each enrolled factor and each recovery code has a name of its own, as random ids have.
        let (mut made, mut factor_ids, mut codes) = (0, vec![String::new(); 6], Vec::<(usize, String)>::new());
        let mut used: HashSet<String> = HashSet::new();
        for act in acts {
            let write = |user: usize, change| {
                let author = Author { checked_at: now, ..Author::in_person(USERS[user], now) };
                let command = Command::Write(author, Write::Factor(change));
                store.handle::<Accounts>(&command, now).expect("a reply")
            };
            let mut check = |ticket: Ticket, proof, name: String| {
                let reply = factor_at(&store, FactorCommand::SignIn(ticket.clone(), proof), now);
                if let FactorReply::SignedIn(status) = reply {
                    prop_assert!(status.active && (is_active || ticket.user == "root"));
                    prop_assert!(ticket.expires_at > now);
                    prop_assert!(used.insert(name), "used twice");
                    prop_assert!(used.insert(ticket.id.clone()), "the ticket was used twice");
                }
                Ok(())
            };
            match act {
                Act::Enroll { user, id, step } => {
                    made += 1;
                    let name = format!("fac_{made}");
                    write(user, FactorWrite::Enroll(begin(&name)));
                    let done = write(user, FactorWrite::Enroll(confirm(&name, step)));
                    if done == Reply::Factor(FactorReply::Done) {
                        codes.extend(["first", "second"].map(|which| (user, format!("{name} {which}"))));
                        factor_ids[usize::from(id)] = name;
                    }
                }
                Act::Issue { user } => {
                    let ticket = Ticket {
                        expires_at: Timestamp(now.0 + 300),
                        ..ticket(&store, USERS[user], Purpose::SignIn, &format!("tkt_{}", tickets.len()))
                    };
                    tickets.push(ticket);
                }
                Act::SignIn { ticket, id, step } => {
                    let Some(ticket) = tickets.iter().rev().nth(ticket) else { continue };
                    let factor = &factor_ids[usize::from(id)];
                    check(ticket.clone(), code(factor, step), format!("{factor} step {step}"))?;
                }
                Act::Recover { ticket, code } => {
                    let Some(ticket) = tickets.iter().rev().nth(ticket) else { continue };
                    let Some((_, code)) = codes.iter().rev().nth(usize::from(code)) else { continue };
                    check(ticket.clone(), recovery_code(code), code.clone())?;
                }
                Act::Renew { user } => {
                    made += 1;
                    let new = format!("renewed {made}");
                    write(user, FactorWrite::RenewRecoveryCodes(vec![new.clone()]));
                    codes.push((user, new));
                }
                Act::Remove { user } => {
                    write(0, FactorWrite::RemoveAll(USERS[user].into()));
                }
                Act::Switch { active } => {
                    let author = Author::in_person("root", now);
                    let command = Command::Write(author, change("ada", None, Some(active)));
                    store.handle::<Accounts>(&command, now).expect("a reply");
                    is_active = active;
                }
                Act::Wait { seconds } => now = Timestamp(now.0 + seconds),
            }
        }
    }
}
