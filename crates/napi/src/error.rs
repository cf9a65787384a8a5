//! Errors as plain data, and panics as errors.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use cairn_engine::{Code, Error, Fact, Result};
use napi::bindgen_prelude::Either;
use napi_derive::napi;

/// Largest integer a JavaScript number holds exactly.
const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

/// What a call answers instead of its value.
#[napi(object)]
pub struct BindingError {
    /// Public code, such as `ERR_CLOSED`.
    pub code: String,
    /// What happened, without facts.
    pub message: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// Facts by name.
    pub details: Vec<BindingFact>,
}

/// One fact about an error.
#[napi(object)]
pub struct BindingFact {
    /// Its name, such as `field`.
    pub name: String,
    /// Its value.
    pub value: Either<f64, String>,
}

/// A value, or why there is none.
pub type Answer<T> = Either<T, BindingError>;

impl From<&Error> for BindingError {
    fn from(error: &Error) -> Self {
        let details = error.details().iter().map(|(name, fact)| BindingFact {
            name: (*name).to_owned(),
            value: match fact {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "numbers up to the largest safe integer are exact"
                )]
                Fact::Number(number) if *number <= SAFE_INTEGER_MAX => Either::A(*number as f64),
                Fact::Number(number) => Either::B(number.to_string()),
                Fact::Text(text) => Either::B(text.clone()),
            },
        });
        Self {
            code: error.code().as_str().to_owned(),
            message: error.message().to_owned(),
            retryable: error.retryable(),
            details: details.collect(),
        }
    }
}

/// Turns a result into what crosses the boundary.
pub fn answer<T>(result: Result<T>) -> Answer<T> {
    match result {
        Ok(value) => Either::A(value),
        Err(error) => Either::B(BindingError::from(&error)),
    }
}

/// Runs `work`; a panic inside becomes [`Code::Internal`].
pub fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    quiet_panics();
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let what = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| String::from("unknown"));
    Error::new(Code::Internal, "cairn has a bug: please report it").text("panic", what)
}

/// Keeps panics that are caught and reported from printing to the host's standard error.
/// `RUST_BACKTRACE` brings the print back.
pub fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if std::env::var_os("RUST_BACKTRACE").is_none() {
            std::panic::set_hook(Box::new(|_| {}));
        }
    });
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use super::*;

    fn panicking(work: fn()) -> Error {
        let caught = guarded(|| {
            work();
            Ok(())
        });
        caught.expect_err("it panicked")
    }

    #[test]
    fn a_panic_becomes_an_internal_error_that_tells_its_message() {
        let facts = |error: Error| {
            assert_eq!(error.code(), Code::Internal);
            assert!(!error.retryable());
            error.details().to_vec()
        };
        let told = |text: &str| vec![("panic", Fact::Text(text.to_owned()))];
        assert_eq!(
            facts(panicking(|| panic!("on purpose"))),
            told("on purpose")
        );
        let with_a_number = facts(panicking(|| panic!("row {} of 7", 8)));
        assert_eq!(with_a_number, told("row 8 of 7"));
        assert_eq!(facts(panicking(|| panic_any(7_u8))), told("unknown"));
    }

    #[test]
    fn what_does_not_panic_answers_as_it_is() {
        assert_eq!(guarded(|| Ok(7)).ok(), Some(7));
        let failed = guarded(|| -> Result<()> { Err(Error::new(Code::Closed, "it is closed")) });
        assert_eq!(failed.map_err(|error| error.code()), Err(Code::Closed));
    }

    #[test]
    fn facts_cross_as_numbers_only_when_a_number_holds_them() {
        let error = Error::new(Code::LimitExceeded, "too many")
            .number("limit", SAFE_INTEGER_MAX)
            .number("got", SAFE_INTEGER_MAX + 1)
            .text("field", "vector");
        let BindingError { code, details, .. } = BindingError::from(&error);
        assert_eq!(code, "ERR_LIMIT_EXCEEDED");
        assert!(matches!(details[0].value, Either::A(number) if number == 9_007_199_254_740_991.0));
        assert!(matches!(&details[1].value, Either::B(text) if text == "9007199254740992"));
        assert!(matches!(&details[2].value, Either::B(text) if text == "vector"));
    }
}
