//! Asks the probe component (`tests/probe`) what its host is like, and holds it to what Spin does.
//!
//! It starts `holdfast-devhost` and a PostgreSQL. With `HOLDFAST_PROBE_URL` it asks that deployment
//! of the probe instead, on this machine, whose variables `sink_port` and `named_port` must then be
//! `HOLDFAST_PROBE_SINK_PORT` and `HOLDFAST_PROBE_NAMED_PORT` here.

mod checks;
mod host;
mod lifecycle;
mod nagle;
mod sink;

use host::Probe;
use libtest_mimic::{Arguments, Failed, Trial};
use std::sync::Arc;

/// Why a check fails.
pub(crate) type Outcome = Result<(), Failed>;

fn main() -> std::process::ExitCode {
    let mut arguments = Arguments::from_args();
    // Checks count instances: they must not disturb each other.
    arguments.test_threads = Some(1);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => return failed(&error.into()),
    };
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(&runtime, None)).exit_code();
    }
    match runtime.block_on(Probe::start()) {
        Ok(probe) => {
            let probe = Arc::new(probe);
            let conclusion = libtest_mimic::run(&arguments, trials(&runtime, Some(&probe)));
            runtime.block_on(probe.stop());
            conclusion.exit_code()
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> std::process::ExitCode {
    eprintln!("the probe cannot start: {error:#}");
    std::process::ExitCode::FAILURE
}

fn trials(runtime: &Arc<tokio::runtime::Runtime>, probe: Option<&Arc<Probe>>) -> Vec<Trial> {
    macro_rules! trials {
        ($($module:ident :: $name:ident),* $(,)?) => {
            vec![$({
                let (runtime, probe) = (Arc::clone(runtime), probe.cloned());
                Trial::test(stringify!($name), move || match probe {
                    Some(probe) => runtime.block_on($module::$name(&probe)),
                    None => Err("the probe was not started".into()),
                })
            }),*]
        };
    }
    let mut trials = trials![
        checks::an_idle_instance_is_gone_after_a_second,
        checks::an_instance_serves_128_requests,
        checks::an_instance_serves_16_requests_at_once,
        checks::headers_of_spin_are_appended,
        checks::a_named_segment_has_its_header,
        checks::private_and_unknown_routes_are_404,
        checks::health_is_answered_by_the_host,
        checks::an_error_and_a_trap_are_500_without_a_body,
        checks::the_65th_connection_hangs,
        checks::timestamptz_cannot_be_read,
        checks::errors_of_execution_come_at_the_end,
        checks::a_database_outside_the_list_is_denied,
        checks::http_outside_the_list_is_denied,
        checks::an_empty_entry_denies_the_whole_list,
        checks::a_first_byte_limit_is_kept_and_the_default_is_long,
        checks::sockets_are_allowed_by_address_only,
        checks::key_value_needs_a_grant,
        checks::variables_are_those_of_the_component,
        nagle::nagle_is_left_on_for_responses,
        nagle::nagle_is_left_on_for_requests,
    ];
    // What the process itself must do; a deployment is not ours to stop.
    if !host::is_remote() {
        trials.extend(trials![
            lifecycle::sigterm_lets_requests_finish,
            lifecycle::the_drain_has_a_limit,
            lifecycle::a_taken_port_is_one_clear_sentence,
            lifecycle::compiled_code_is_private_and_kept,
            lifecycle::secrets_are_not_logged,
            lifecycle::paths_and_queries_are_not_logged,
        ]);
    }
    trials
}
