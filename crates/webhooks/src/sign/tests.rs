//! Signatures are those that receivers of the standard expect.

use super::{Key, signature};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn the_standards_own_example_is_signed_as_it_says() {
    let keys = [Key::parse(SECRET).unwrap()];
    let signed = signature(&keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
    assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[test]
fn each_key_signs_so_that_a_receiver_can_change_over() {
    let (old, new) = (Key::parse(SECRET).unwrap(), Key::parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap());
    let both = signature(&[new.clone(), old.clone()], "m", 1, b"x");
    assert_eq!(both, format!("{} {}", signature(&[new], "m", 1, b"x"), signature(&[old], "m", 1, b"x")));
}

#[test]
fn what_is_no_secret_is_refused_and_a_key_is_never_shown() {
    for bad in ["", "whsec_", "hunter2", "whsec_c2hvcnQ=", &"A".repeat(100), "whsec_!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!"] {
        assert!(Key::parse(bad).is_none(), "{bad}");
    }
    assert_eq!(format!("{:?}", Key::parse(SECRET).unwrap()), "Key(***)");
}
