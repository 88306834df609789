//! The page of `/metrics`: every number that we keep, written down in the order of the reference.
//!
//! In: [`Metrics`]. Out: text of Prometheus. Holds: nothing; numbers go on changing while they are written.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder};
use prometheus_client::metrics::MetricType::{self, Counter, Gauge, Histogram as Distribution};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::Counts;
use super::histogram::Histogram;
use super::label::{Stage, Why};
use super::model::Series;
use super::readings::Readings;

/// Name, help, unit and kind of a family.
type About = (&'static str, &'static str, Option<Unit>, MetricType);

impl Collector for Counts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.calls(&mut encoder)?;
        self.stages(&mut encoder)?;
        self.requests(&mut encoder)?;
        self.older(&mut encoder)?;
        self.others(encoder)
    }
}

fn family<'s>(encoder: &'s mut DescriptorEncoder<'_>, about: &'s About) -> Result<MetricEncoder<'s>, fmt::Error> {
    let (name, help, unit, kind) = about;
    encoder.encode_descriptor(name, help, unit.as_ref(), *kind)
}

type Of = fn(&Series) -> &Histogram;

type Labels<'a> = [(&'a str, &'a str); 5];

fn labels<'a>(series: &'a Series, error: &'a str) -> Labels<'a> {
    [
        ("gen_ai_operation_name", series.operation),
        ("gen_ai_provider_name", series.provider),
        ("gen_ai_request_model", &series.asked),
        ("gen_ai_response_model", &series.answers),
        ("error_type", error),
    ]
}

impl Counts {
    fn calls(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let all = self.models.all();
        let about = ("gen_ai_server_request_duration", "From first byte in to last byte out, of calls", Some(Unit::Seconds), Distribution);
        let mut to = family(encoder, &about)?;
        for series in &all {
            if !series.duration.is_empty() {
                series.duration.write(to.encode_family(&labels(series, ""))?)?;
            }
            for (word, failed) in series.failures() {
                failed.write(to.encode_family(&labels(series, word))?)?;
            }
        }
        let times: [(About, Of); 2] = [
            (("gen_ai_server_time_to_first_token", "Until the first byte of the answer", Some(Unit::Seconds), Distribution), |s| &s.first),
            (("gen_ai_server_time_per_output_token", "Between tokens after the first", Some(Unit::Seconds), Distribution), |s| &s.each),
        ];
        for (about, of) in times {
            let mut to = family(encoder, &about)?;
            for series in all.iter().filter(|series| !of(series).is_empty()) {
                of(series).write(to.encode_family(&labels(series, ""))?)?;
            }
        }
        let about = ("gen_ai_client_token_usage", "Tokens of a call, in and out", None, Distribution);
        let mut to = family(encoder, &about)?;
        for series in &all {
            for (kind, tokens) in [("input", &series.tokens_in), ("output", &series.tokens_out)] {
                let mut labels = labels(series, "");
                labels[4] = ("gen_ai_token_type", kind);
                if !tokens.is_empty() {
                    tokens.write(to.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }

    fn stages(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let about = (
            "penstock_overhead",
            "Time of a call that the gateway itself took, by stage; total is all but the engine, the line and the client's sending",
            Some(Unit::Seconds),
            Distribution,
        );
        let mut to = family(encoder, &about)?;
        let ours = Stage::OURS.into_iter().zip(&self.stages).map(|(stage, spent)| (stage.as_str(), spent));
        for (stage, spent) in ours.chain([("relay", &self.relay), ("total", &self.overhead)]) {
            spent.write(to.encode_family(&[("stage", stage)])?)?;
        }
        let alone: [(About, &Histogram); 2] = [
            (("penstock_queue_wait", "Time in line for a slot, or for a model to come up", Some(Unit::Seconds), Distribution), &self.waits),
            (
                (
                    "penstock_cancel",
                    "From when a client was seen to have left its call, wherever that was, until all that was held for it was let go",
                    Some(Unit::Seconds),
                    Distribution,
                ),
                &self.cancels,
            ),
        ];
        for (about, histogram) in alone {
            histogram.write(family(encoder, &about)?)?;
        }
        Ok(())
    }

    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let gauges: [(About, i64); 2] = [
            (("penstock_in_flight", "Calls of models under way, those in line included", None, Gauge), self.in_flight.load(Relaxed)),
            (
                ("penstock_reservations_open", "Calls whose tokens are set aside and not settled yet", None, Gauge),
                self.reserved.load(Relaxed),
            ),
        ];
        for (about, value) in gauges {
            ConstGauge::new(value).encode(family(encoder, &about)?)?;
        }
        let counters: [(About, u64); 2] = [
            (("penstock_retries", "Calls that were sent anew before their first byte", None, Counter), self.retries.load(Relaxed)),
            (
                ("penstock_series_dropped", "Numbers that were counted under another label, or left out, because of a cap", None, Counter),
                self.models.dropped.load(Relaxed) + self.left_out.load(Relaxed),
            ),
        ];
        for (about, value) in counters {
            ConstCounter::new(value).encode(family(encoder, &about)?)?;
        }
        self.answered(encoder, &("penstock_http_requests", "Requests answered, by route", None, Counter))
    }

    fn answered(&self, encoder: &mut DescriptorEncoder<'_>, about: &About) -> fmt::Result {
        let mut to = family(encoder, about)?;
        for route in self.routes.all() {
            for (method, status, count) in route.answers() {
                let status = if status == 0 { "other".to_owned() } else { status.to_string() };
                let labels = [("path", &*route.path), ("method", method), ("status", status.as_str())];
                ConstCounter::new(count).encode(to.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    /// The names of the older NDJSON control plane.
    fn older(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.answered(encoder, &("modeld_http_requests", "Requests answered", None, Counter))?;
        let routes = self.routes.all();
        let about = ("modeld_http_request_duration", "From first byte in to last byte out", Some(Unit::Seconds), Distribution);
        let mut to = family(encoder, &about)?;
        for route in &routes {
            route.took.write(to.encode_family(&[("path", &*route.path)])?)?;
        }
        let about = ("modeld_http_inflight_requests", "Requests under way", None, Gauge);
        let mut to = family(encoder, &about)?;
        for route in &routes {
            ConstGauge::new(route.in_flight.load(Relaxed)).encode(to.encode_family(&[("path", &*route.path)])?)?;
        }
        let about = ("modeld_http_backpressure", "Calls sent away from the line", None, Counter);
        let mut to = family(encoder, &about)?;
        for (why, count) in Why::ALL.into_iter().zip(&self.backpressure) {
            ConstCounter::new(count.load(Relaxed)).encode(to.encode_family(&[("reason", why.as_str())])?)?;
        }
        Ok(())
    }

    /// What others keep.
    fn others(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut readings = Readings::new(encoder);
        for source in self.sources() {
            source(&mut readings);
        }
        self.left_out.fetch_add(readings.left_out, Relaxed);
        readings.finish()
    }
}
