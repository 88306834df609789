//! Headers as the standard has them, and as it does not.

use super::*;

const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn traced(pairs: &[(&'static str, &str)], ratio: f64) -> (Trace, HeaderMap) {
    let from = headers(pairs);
    let trace = Trace::of(&from, Some(Sampling { ratio })).unwrap();
    let mut to = from.clone();
    trace.put(&from, &mut to);
    (trace, to)
}

#[test]
fn a_valid_parent_is_taken_and_its_trace_goes_on_under_a_span_of_ours() {
    let (trace, to) = traced(&[("traceparent", GOOD), ("tracestate", "a=1,b@c=2"), ("tracestate", "d=3")], 0.0);
    assert_eq!(trace.id.to_string(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(trace.parent.unwrap().to_string(), "b7ad6b7169203331");
    assert!(trace.sampled, "the client has decided, whatever our ratio is");
    let engine = trace.engine.unwrap();
    assert_eq!(to["traceparent"], format!("00-{}-{engine}-01", trace.id));
    assert_ne!(trace.span, trace.engine);
    assert_eq!(to.get_all("tracestate").iter().collect::<Vec<_>>(), ["a=1,b@c=2", "d=3"]);
    let (unsampled, to) = traced(&[("traceparent", &GOOD.replace("-01", "-00"))], 1.0);
    assert!(!unsampled.sampled && to["traceparent"].to_str().unwrap().ends_with("-00"));
}

#[test]
fn a_later_version_is_read_as_far_as_it_is_known() {
    for later in [GOOD.replacen("00", "cc", 1), format!("{}-what-the-future-will-be-like", GOOD.replacen("00", "cc", 1))] {
        assert_eq!(parent(&headers(&[("traceparent", &later)])).unwrap().0.to_string(), "0af7651916cd43dd8448eb211c80319c");
    }
    assert!(parent(&headers(&[("traceparent", &format!("{}.x", GOOD.replacen("00", "cc", 1)))])).is_none());
}

#[test]
fn what_is_not_valid_begins_a_trace_of_its_own_without_the_others_state() {
    let bad = [
        String::new(),
        "00".to_owned(),
        GOOD.to_uppercase(),
        GOOD.replacen("00", "ff", 1),
        GOOD.replace("b7ad6b7169203331", "0000000000000000"),
        GOOD.replace("0af7651916cd43dd8448eb211c80319c", "00000000000000000000000000000000"),
        GOOD.replace('-', "_"),
        format!("{GOOD}-more"),
        GOOD[..54].to_owned(),
        GOOD.replace('f', "g"),
    ];
    for bad in bad {
        let (trace, to) = traced(&[("traceparent", &bad), ("tracestate", "a=1")], 1.0);
        assert!(trace.parent.is_none() && trace.sampled, "{bad}");
        assert!(!to.contains_key("tracestate"), "{bad}");
        assert!(to["traceparent"].to_str().unwrap().contains(&trace.id.to_string()), "{bad}");
    }
    let twice = headers(&[("traceparent", GOOD), ("traceparent", GOOD)]);
    assert!(parent(&twice).is_none(), "two of them are none");
}

#[test]
fn a_state_that_is_not_valid_stays_behind() {
    let many = (0..33).map(|at| format!("k{at}=1")).collect::<Vec<_>>().join(",");
    for bad in ["a", "=1", "A=1", "a=1=2", "a@b@c=1", "-a=1", &many] {
        let (_, to) = traced(&[("traceparent", GOOD), ("tracestate", bad)], 1.0);
        assert!(!to.contains_key("tracestate"), "{bad}");
    }
}

#[test]
fn where_nobody_traces_the_clients_headers_go_on_untouched() {
    let from = headers(&[("traceparent", GOOD), ("tracestate", "not valid at all")]);
    let trace = Trace::of(&from, None).unwrap();
    let mut to = from.clone();
    trace.put(&from, &mut to);
    assert_eq!(to, from);
    assert_eq!((trace.span, trace.engine), (None, None));
    assert_eq!(Trace::of(&HeaderMap::new(), None), None);
}

#[test]
fn about_the_share_that_was_asked_for_is_sampled() {
    const TRACES: usize = 4000;
    let share = |ratio| (0..TRACES).filter(|_| traced(&[], ratio).0.sampled).count();
    assert_eq!((share(0.0), share(1.0)), (0, TRACES));
    let quarter = share(0.25);
    assert!((TRACES / 5..TRACES / 3).contains(&quarter), "{quarter} of {TRACES}");
}
