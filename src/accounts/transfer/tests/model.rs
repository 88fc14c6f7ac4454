//! A model of exports while others write.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Add(u8),
    Delete(u8),
    Change(u8),
    Export,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..30_u8).prop_map(Step::Add),
        (0..30_u8).prop_map(Step::Delete),
        (0..30_u8).prop_map(Step::Change),
        Just(Step::Export),
        Just(Step::Export),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// While others write, each record of an export is one that `Accounts` had at that moment, no user comes twice, and
    /// every user who is there throughout comes. All of it can be imported elsewhere, twice.
    #[test]
    fn an_export_is_consistent_under_writes(
        steps in prop::collection::vec(step(), 1..40),
        limit in 1..5_i64,
    ) {
        let at = Deployment::new(1, 2);
        let store = set_up();
        let name = |at: u8| format!("u{at:02}");
        let first: Vec<UserRecord> = (0..12).map(|user| record(&name(user))).collect();
        import(&store, &first, false);
        let mut throughout: Vec<String> = first.iter().map(|record| record.id.clone()).collect();
        let (mut found, mut after, mut is_over) = (BTreeMap::new(), None::<String>, false);
        let page = |store: &Sqlite, after: Option<&str>| {
            let mut page = export(store, after, limit + 1);
            let is_last = i64::try_from(page.len()).expect("few") <= limit;
            page.truncate(usize::try_from(limit).expect("small"));
            for record in &page {
                assert!(export(store, None, 100).contains(record));
            }
            (page, is_last)
        };
        for step in steps.into_iter().chain(std::iter::repeat_n(Step::Export, 50)) {
            match step {
                Step::Add(user) => drop(import(&store, &[with_factors(&name(user), &at)], false)),
                Step::Delete(user) => {
                    let id = record(&name(user)).id;
                    throughout.retain(|known| *known != id);
                    write(&store, Write::DeleteUser(id));
                }
                Step::Change(user) => {
                    write(&store, change(&record(&name(user)).id, Some(Role::User), Some(true)));
                }
                Step::Export if is_over => {}
                Step::Export => {
                    let (records, is_last) = page(&store, after.as_deref());
                    is_over = is_last;
                    after = records.last().map(|record| record.id.clone()).or(after);
                    for record in records {
                        let twice = found.insert(record.id.clone(), record);
                        prop_assert!(twice.is_none(), "a user came twice");
                    }
                }
            }
        }
        prop_assert!(is_over && throughout.iter().all(|id| found.contains_key(id)));
        let records: Vec<UserRecord> = found.into_values().filter(|record| record.id.starts_with("usr_")).collect();
        let elsewhere = set_up();
        prop_assert!(import(&elsewhere, &records, false).iter().all(|outcome| *outcome == Outcome::Added));
        prop_assert!(import(&elsewhere, &records, false).iter().all(|outcome| *outcome == Outcome::Unchanged));
        let copied: Vec<UserRecord> = export(&elsewhere, Some("usr_"), 100);
        prop_assert!(copied == records);
    }
}
