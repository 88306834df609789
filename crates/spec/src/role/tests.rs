//! Rights are bits of their own, and roles include each other as they say.

use super::*;

#[test]
fn each_right_is_a_bit_of_its_own() {
    let mut seen = Rights::NONE;
    for verb in Verb::ALL {
        for kind in Kind::ALL {
            let one = Rights::NONE.with(verb, kind);
            assert!(one.has(verb, kind) && !seen.has(verb, kind), "{verb} {kind}");
            assert_eq!(one.iter().collect::<Vec<_>>(), [(verb, kind)]);
            assert_eq!(Rights::from_bits(one.to_bits()), one);
            seen = seen.or(one);
        }
    }
    assert_eq!(seen, Rights::ALL);
    assert_eq!(Rights::from_bits([u64::MAX; 2]), Rights::ALL);
    assert_eq!(Rights::ALL.iter().count(), Verb::ALL.len() * Kind::ALL.len());
}

#[test]
fn rights_survive_their_json_and_a_star_stands_for_all() {
    let rights = Rights::NONE.with_all(&[Verb::Get, Verb::List], &[Kind::Models]).with(Verb::Use, Kind::Calls);
    let text = serde_json::to_string(&rights).expect("JSON");
    assert_eq!(text, r#"{"models":["get","list"],"calls":["use"]}"#);
    assert_eq!(serde_json::from_str::<Rights>(&text).expect("rights"), rights);
    assert_eq!(serde_json::from_str::<Rights>(r#"{"*":["*"]}"#).expect("rights"), Rights::ALL);
    let all_of_models = serde_json::from_str::<Rights>(r#"{"models":["*"]}"#).expect("rights");
    assert!(all_of_models.has(Verb::Delete, Kind::Models) && !all_of_models.has(Verb::Get, Kind::Routes));
    assert_eq!(rights.to_string(), "get/list models, use calls");
}

#[test]
fn a_wrong_word_is_told_with_the_one_that_was_meant() {
    for (text, hint) in [(r#"{"model":["get"]}"#, "did you mean `models`?"), (r#"{"models":["remove"]}"#, "use one of *, get")] {
        let error = serde_json::from_str::<Rights>(text).expect_err("not rights").to_string();
        assert!(error.contains(hint), "{error}");
    }
}

#[test]
fn each_built_in_role_includes_the_next_and_only_the_admin_says_who_may_what() {
    let roles: Vec<Role> = Role::BUILT_IN.iter().map(|name| Role::built_in(name).expect("a role")).collect();
    for pair in roles.windows(2) {
        assert!(pair[0].rights.includes(pair[1].rights) && pair[0].rights != pair[1].rights, "{pair:?}");
    }
    for role in &roles[1..] {
        for kind in [Kind::Users, Kind::Roles, Kind::Tokens] {
            for verb in [Verb::Create, Verb::Update, Verb::Delete] {
                assert!(!role.rights.has(verb, kind), "{role} may {verb} {kind}");
            }
        }
    }
    assert!(!roles[3].rights.has(Verb::Use, Kind::Calls), "who only looks calls nothing");
}

#[test]
fn a_role_of_ones_own_has_a_name_of_its_own_and_may_something() {
    let role = |name: &str, rights| Role {
        name: Name::parse(name).expect("a name"),
        description: None,
        rights,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    };
    assert!(role("tester", Rights::NONE.with(Verb::Use, Kind::Calls)).check().is_ok());
    assert_eq!(role("admin", Rights::NONE).check().expect_err("two faults").0.len(), 2);
}
