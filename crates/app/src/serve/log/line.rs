//! A request that is over, as one line of JSON.
//!
//! In: a record, a buffer that is used again. Out: the line, with its line feed. Fails: never. Written
//! by hand, field by field: it is made for each request, on the thread that served it.

use std::time::Duration;

use base::Timestamp;
use gateway::{CallRecord, Record, Wish};

/// A key as it stands in a line, after another member.
macro_rules! key {
    ($key:literal) => {
        concat!(",\"", $key, "\":")
    };
}

/// Puts the line behind what the buffer holds.
pub(super) fn write(to: &mut Vec<u8>, record: &Record<'_>) {
    to.extend_from_slice(b"{\"time\":\"");
    time(to, record.at);
    to.push(b'"');
    let mut line = Line(to);
    line.text(key!("id"), record.id);
    line.text(key!("method"), record.method);
    line.text(key!("route"), record.route);
    line.number(key!("status"), u64::from(record.status));
    line.ms(key!("ms"), record.duration);
    if let Some(call) = &record.call {
        of_call(&mut line, call);
    }
    line.maybe(key!("token"), record.token);
    line.maybe(key!("project"), record.project);
    line.number(key!("bytes_in"), record.bytes_in);
    line.number(key!("bytes_out"), record.bytes_out);
    if let Some(client) = record.client {
        line.key(key!("client"));
        address(line.0, client);
    }
    line.maybe(key!("agent"), Some(record.agent).filter(|agent| !agent.is_empty()));
    if let Some(trace) = &record.trace {
        line.key(key!("trace_id"));
        line.0.push(b'"');
        hex(line.0, &trace.id.0);
        line.0.push(b'"');
    }
    if record.wish == Wish::Debug {
        laps(&mut line, record);
    }
    to.extend_from_slice(b"}\n");
}

fn of_call(line: &mut Line<'_>, call: &CallRecord<'_>) {
    line.text(key!("operation"), call.operation);
    line.text(key!("model"), call.model);
    line.maybe(key!("deployment"), call.deployment);
    line.maybe(key!("instance"), call.instance);
    line.text(key!("ending"), call.ending.as_str());
    line.maybe(key!("error"), call.error);
    line.number(key!("prompt_tokens"), call.prompt_tokens);
    line.number(key!("completion_tokens"), call.completion_tokens);
    if call.estimated {
        line.key(key!("estimated"));
        line.0.extend_from_slice(b"true");
    }
    if let Some(first) = call.first_byte {
        line.ms(key!("first_byte_ms"), first);
    }
    line.ms(key!("queue_ms"), call.waited);
    line.ms(key!("upstream_ms"), call.upstream);
}

/// The laps of the walk in microseconds.
fn laps(line: &mut Line<'_>, record: &Record<'_>) {
    line.key(key!("stages_us"));
    line.0.push(b'{');
    for (at, lap) in record.laps.iter().flatten().enumerate() {
        if at > 0 {
            line.0.push(b',');
        }
        line.0.push(b'"');
        line.0.extend_from_slice(lap.stage.as_bytes());
        line.0.extend_from_slice(b"\":");
        number(line.0, u64::try_from(lap.took.as_micros()).unwrap_or(u64::MAX));
    }
    line.0.push(b'}');
}

/// A line that is being written, after its first member.
struct Line<'a>(&'a mut Vec<u8>);

impl Line<'_> {
    fn key(&mut self, key: &str) {
        self.0.extend_from_slice(key.as_bytes());
    }
    fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        self.0.push(b'"');
        escaped(self.0, text);
        self.0.push(b'"');
    }
    fn maybe(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }
    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        number(self.0, value);
    }
    /// Milliseconds, to the microsecond.
    fn ms(&mut self, key: &str, time: Duration) {
        self.key(key);
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        number(self.0, micros / 1000);
        self.0.push(b'.');
        padded(self.0, micros % 1000, 3);
    }
}

/// The text with what JSON and terminals must not see escaped.
fn escaped(to: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\' && byte != 0x7f;
    let mut rest = text.as_bytes();
    // Looks at all bytes at once instead of one after the other; almost no text has anything to escape.
    if rest.iter().fold(true, |all, byte| all & plain(*byte)) {
        return to.extend_from_slice(rest);
    }
    while let Some(at) = rest.iter().position(|byte| !plain(*byte)) {
        to.extend_from_slice(&rest[..at]);
        match rest[at] {
            quoted @ (b'"' | b'\\') => to.extend_from_slice(&[b'\\', quoted]),
            b'\n' => to.extend_from_slice(b"\\n"),
            b'\t' => to.extend_from_slice(b"\\t"),
            other => {
                to.extend_from_slice(b"\\u00");
                hex(to, &[other]);
            }
        }
        rest = &rest[at + 1..];
    }
    to.extend_from_slice(rest);
}

fn hex(to: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        to.push(DIGITS[usize::from(byte >> 4)]);
        to.push(DIGITS[usize::from(byte & 15)]);
    }
}

fn number(to: &mut Vec<u8>, mut value: u64) {
    const MOST: usize = 20;
    let mut digits = [0; MOST];
    let mut at = MOST;
    loop {
        at -= 1;
        digits[at] = digit(value % 10);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    to.extend_from_slice(&digits[at..]);
}

/// At most four digits.
fn padded(to: &mut Vec<u8>, mut value: u64, width: usize) {
    let mut digits = [b'0'; 4];
    for place in digits.iter_mut().rev() {
        *place = digit(value % 10);
        value /= 10;
    }
    to.extend_from_slice(&digits[digits.len() - width..]);
}

fn digit(value: u64) -> u8 {
    b'0' + u8::try_from(value).unwrap_or(0)
}

fn address(to: &mut Vec<u8>, address: std::net::SocketAddr) {
    to.push(b'"');
    match address.ip() {
        std::net::IpAddr::V4(ip) => {
            for (at, octet) in ip.octets().into_iter().enumerate() {
                if at > 0 {
                    to.push(b'.');
                }
                number(to, u64::from(octet));
            }
        }
        std::net::IpAddr::V6(ip) => to.extend_from_slice(format!("[{ip}]").as_bytes()),
    }
    to.push(b':');
    number(to, u64::from(address.port()));
    to.push(b'"');
}

/// As RFC 3339 has it, UTC, to the millisecond. From: Howard Hinnant's `civil_from_days`.
fn time(to: &mut Vec<u8>, at: Timestamp) {
    const DAY_MS: u64 = 86_400_000;
    let ms = u64::try_from(at.as_millis()).unwrap_or(0);
    let (days, of_day) = (ms / DAY_MS + 719_468, ms % DAY_MS); // days since the first of March of the year 0
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_based = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_based + 2) / 5 + 1;
    let month = if march_based < 10 { march_based + 3 } else { march_based - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let parts = [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (of_day / 3_600_000, 2, b':'),
        (of_day / 60_000 % 60, 2, b':'),
        (of_day / 1000 % 60, 2, b'.'),
        (of_day % 1000, 3, b'Z'),
    ];
    for (value, width, after) in parts {
        padded(to, value, width);
        to.push(after);
    }
}

#[cfg(test)]
mod tests;
