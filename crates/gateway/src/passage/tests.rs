//! What the head of a request decides.

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
}

#[test]
fn a_sane_request_id_is_kept_and_any_other_replaced() {
    let kept = Arrival::now(&headers(&[("x-request-id", "abc-123.x:y_z")]));
    assert_eq!(&*kept.id, "abc-123.x:y_z");
    for bad in ["", "with space", "semi;colon", &"x".repeat(LONGEST_ID + 1)] {
        let own = Arrival::now(&headers(&[("x-request-id", bad)]));
        assert!(own.id.starts_with("req_") && own.id.len() == 28, "{bad:?} gave {}", own.id);
    }
    assert_ne!(*Arrival::now(&HeaderMap::new()).id, *Arrival::now(&HeaderMap::new()).id);
}

#[test]
fn the_wish_for_a_line_is_read_from_the_query_then_the_level_then_the_switch() {
    let of = |uri: &str, pairs: &[(&'static str, &str)]| wish(&uri.parse().unwrap(), &headers(pairs));
    assert_eq!(of("/infer", &[]), Wish::Usual);
    assert_eq!(of("/infer?x=1&log=debug", &[("x-log-level", "off")]), Wish::Debug);
    assert_eq!(of("/infer?log=off", &[]), Wish::Off);
    assert_eq!(of("/infer?blog=off", &[]), Wish::Usual);
    assert_eq!(of("/infer", &[("x-log-level", "Error"), ("x-log-infer", "1")]), Wish::Error);
    assert_eq!(of("/infer", &[("x-log-infer", "1")]), Wish::Info);
    assert_eq!(of("/infer", &[("x-log-infer", "0")]), Wish::Usual);
    assert_eq!(of("/infer?log=loud", &[]), Wish::Usual);
}

#[tokio::test(start_paused = true)]
async fn laps_lie_end_to_end_and_a_wait_in_line_belongs_to_none() {
    const MS: Duration = Duration::from_millis(1);
    let arrival = Arrival::now(&HeaderMap::new());
    let laps = &arrival.laps;
    for (stage, took, waited) in [(Stage::Identify, 1, 0), (Stage::Read, 2, 0), (Stage::Choose, 10, 7), (Stage::Send, 4, 0)] {
        tokio::time::advance(MS * took).await;
        laps.lap_after(stage, MS * waited);
    }
    assert_eq!(laps.of(Stage::Choose), Some((MS * 13, MS * 3)));
    assert_eq!(laps.of(Stage::Admit), None);
    assert_eq!(laps.waited(), MS * 7);
    tokio::time::advance(MS * 20).await;
    laps.lap(Stage::Engine);
    tokio::time::advance(MS).await;
    laps.lap(Stage::Send);
    assert_eq!(laps.of(Stage::Send), Some((MS * 38, MS * 5)), "a second try adds to the first");
    let all: u64 = Stage::ALL.into_iter().map(|stage| laps.nanos(stage)).sum();
    assert_eq!(Duration::from_nanos(all) + laps.waited(), MS * 38);
}
