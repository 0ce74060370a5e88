//! Structured log lines on standard error, one JSON object each.

use holdfast_core::error::Error;

/// Logs an error that a client saw, with the cause that it did not see.
pub fn error(request_id: &str, error: &Error) {
    let source = error.source.as_ref().map(ToString::to_string);
    eprintln!(
        "{}",
        serde_json::json!({
            "level": if error.code.status() >= 500 { "error" } else { "info" },
            "requestId": request_id,
            "code": error.code.as_str(),
            "rule": error.rule,
            "message": error.message,
            "cause": source,
        })
    );
}

/// Logs what an operator must know at once.
pub fn alarm(message: &str, about: &dyn std::fmt::Display) {
    eprintln!(
        "{}",
        serde_json::json!({ "level": "error", "message": message, "about": about.to_string() })
    );
}

/// Logs something that no client saw.
pub fn warn(message: &str, cause: &dyn std::fmt::Display) {
    eprintln!(
        "{}",
        serde_json::json!({ "level": "warn", "message": message, "cause": cause.to_string() })
    );
}
