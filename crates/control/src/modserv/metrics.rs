//! Services in figures, in the text form of Prometheus.
//!
//! In: the state of each service. Out: a few gauges; names and ids need no escapes. Pure.

use std::fmt::Write as _;

use super::progress::{ServiceStatus, Word};

/// The page.
pub(super) fn text(services: &[ServiceStatus]) -> String {
    let mut page = String::new();
    head(&mut page, "modserv_services", "Services by status.");
    for word in Word::ALL {
        let count = services.iter().filter(|service| service.status == word).count();
        line(&mut page, "modserv_services", &format!("status=\"{}\"", word.as_str()), count);
    }
    let living: Vec<&ServiceStatus> = services.iter().filter(|service| service.status != Word::Terminated).collect();
    each(&mut page, &living, ("modserv_service_replicas", "Instances that are wanted."), |s| s.replicas as usize);
    each(&mut page, &living, ("modserv_service_ready_replicas", "Instances that serve."), |s| s.ready_replicas as usize);
    each(&mut page, &living, ("modserv_service_current_step", "The step of its pipeline, from 1."), |s| s.current_step);
    each(&mut page, &living, ("modserv_service_total_steps", "Steps of its pipeline."), |s| s.total_steps);
    page
}

fn each(page: &mut String, services: &[&ServiceStatus], (name, help): (&str, &str), value: fn(&ServiceStatus) -> usize) {
    head(page, name, help);
    for service in services {
        let labels = format!("service_id=\"{}\",model=\"{}\"", service.service_id, service.model_name);
        line(page, name, &labels, value(service));
    }
}

// Writing into a `String` cannot fail.
fn head(page: &mut String, name: &str, help: &str) {
    let _ = write!(page, "# HELP {name} {help}\n# TYPE {name} gauge\n");
}

fn line(page: &mut String, name: &str, labels: &str, value: usize) {
    let _ = writeln!(page, "{name}{{{labels}}} {value}");
}
