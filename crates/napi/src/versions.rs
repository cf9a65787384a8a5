//! Versions of a database: recorded, listed, opened, forgotten.

use cairn_engine::{Database, VersionId, VersionInfo};
use napi::bindgen_prelude::{BigInt, Either3, Function, Object};
use napi_derive::napi;

use crate::convert::to_size;
use crate::database::BindingDatabase;
use crate::error::BindingError;
use crate::owned::Owned;
use crate::writes::{Answers, Writes};

/// A recorded version.
#[napi(object)]
pub struct BindingVersion {
    /// Every write up to this one is in it.
    pub version: BigInt,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// When it was made, in milliseconds since 1970 UTC.
    pub created: f64,
    /// Why it cannot be opened.
    pub error: Option<BindingError>,
}

/// A number, a name, or a time in milliseconds since 1970 UTC.
pub type Version = Either3<BigInt, String, f64>;

/// The version that a caller means.
pub fn version_id(version: Version) -> VersionId {
    match version {
        Either3::A(number) => VersionId::Lsn(number.get_u64().1),
        Either3::B(name) => VersionId::Name(name),
        Either3::C(ms) => VersionId::Time(to_size(ms) as u64),
    }
}

#[napi]
impl BindingDatabase {
    /// Records the state of this moment.
    #[napi]
    pub fn snapshot<'env>(
        &self,
        env: &'env napi::Env,
        name: Option<String>,
    ) -> napi::Result<Object<'env>> {
        let work = move |database: &Database| database.snapshot(name.as_deref());
        self.call(env, work, BindingVersion::from)
    }

    /// All recorded versions, oldest first.
    #[napi]
    pub fn list_versions<'env>(&self, env: &'env napi::Env) -> napi::Result<Object<'env>> {
        self.call(env, Database::versions, |all| {
            all.into_iter()
                .map(BindingVersion::from)
                .collect::<Vec<_>>()
        })
    }

    /// Opens a recorded version for reading.
    #[napi]
    pub fn at<'env>(
        &self,
        env: &'env napi::Env,
        version: Version,
        on_writes: Function<'_, Answers, ()>,
    ) -> napi::Result<Object<'env>> {
        let writes = Writes::new(&on_writes)?;
        let (version, world) = (version_id(version), self.env.clone());
        let work = move |database: &Database| {
            let opened = database.at(&version)?;
            Ok(Self {
                inner: Owned::new(opened, &world.threads),
                writes,
                env: world,
            })
        };
        self.call(env, work, |database| database)
    }

    /// Forgets a recorded version.
    #[napi]
    pub fn drop_version<'env>(
        &self,
        env: &'env napi::Env,
        version: Version,
    ) -> napi::Result<Object<'env>> {
        let version = version_id(version);
        let work = move |database: &Database| database.drop_version(&version);
        self.call(env, work, |()| ())
    }

    /// Records a version by itself, if the options ask for it and it is time.
    #[napi]
    pub fn record_when_due<'env>(&self, env: &'env napi::Env) -> napi::Result<Object<'env>> {
        self.call(env, Database::record_when_due, |made| made)
    }
}

impl From<VersionInfo> for BindingVersion {
    fn from(info: VersionInfo) -> Self {
        Self {
            version: BigInt::from(info.version),
            name: info.name,
            created: info.created_unix_ms as f64,
            error: info.error.as_ref().map(BindingError::from),
        }
    }
}
