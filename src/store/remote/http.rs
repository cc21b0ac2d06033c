//! A remote on a web server that serves a pushed folder as files. It is read-only.

use std::io::{Read, Write};
use std::time::Duration;

use bytes::Bytes;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use super::agent::agent;
use super::site::{Fault, Site};

/// A folder of a web server.
#[derive(Debug)]
pub struct Web {
    address: String,
    agent: Agent,
    patience: Duration,
}

impl Web {
    /// The folder at `address`; requests time out after `patience` without a response.
    #[must_use]
    pub fn new(address: &str, patience: Duration) -> Self {
        let config = agent(patience).max_redirects(5).build();
        Self { address: address.to_owned(), agent: config.into(), patience }
    }

    /// The response for an existing file; [`None`] if the file does not exist.
    fn answered(&self, answer: Result<Response<Body>, ureq::Error>) -> Result<Option<Response<Body>>, Fault> {
        let answer = answer.map_err(|error| self.failed(&error))?;
        let status = answer.status();
        match status {
            StatusCode::OK => Ok(Some(answer)),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let text = format!("`{}` responded with {status}", self.address);
                Err(Fault::hinted(text, "macula sends no credentials to web servers; allow anonymous reads"))
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(self.passing(status)),
            status if status.is_server_error() => Err(self.passing(status)),
            status => Err(Fault::lasting(format!("`{}` responded with {status}", self.address))),
        }
    }

    fn passing(&self, status: StatusCode) -> Fault {
        Fault::Passing(format!("`{}` responded with {status}", self.address))
    }

    fn failed(&self, error: &ureq::Error) -> Fault {
        match error {
            ureq::Error::Timeout(_) => self.silent(),
            ureq::Error::Io(error) => self.broken(error),
            // May be permanent, but a network that is down may come up while macula waits.
            ureq::Error::ConnectionFailed => Fault::Passing(format!("`{}` cannot be reached", self.address)),
            error => Fault::lasting(format!("`{}` cannot be read: {error}", self.address)),
        }
    }

    fn broken(&self, error: &std::io::Error) -> Fault {
        if error.kind() == std::io::ErrorKind::TimedOut {
            return self.silent();
        }
        Fault::Passing(format!("`{}` cannot be read: {error}", self.address))
    }

    /// Not retried: a run would only wait for another timeout.
    fn silent(&self) -> Fault {
        let text = format!("`{}` did not respond for {} s", self.address, self.patience.as_secs_f64());
        Fault::hinted(text, "raise `timeout=` in `project.kdl`")
    }

    fn only_read<T>(&self) -> Result<T, Fault> {
        Err(Fault::lasting(format!("cannot write to `{}`: web servers are read-only", self.address)))
    }
}

impl Site for Web {
    fn fetch(&self, name: &str, most: u64, into: &mut dyn Write) -> Result<Option<u64>, Fault> {
        let answer = self.answered(self.agent.get(format!("{}/{name}", self.address)).call())?;
        let Some(answer) = answer else { return Ok(None) };
        if answer.body().content_length().is_some_and(|length| length > most) {
            return Err(Fault::longer(name, most));
        }
        let body = answer.into_body().into_with_config().limit(u64::MAX).reader();
        let copied = std::io::copy(&mut body.take(most + 1), into).map_err(|error| self.broken(&error))?;
        if copied > most { Err(Fault::longer(name, most)) } else { Ok(Some(copied)) }
    }

    fn size(&self, name: &str) -> Result<Option<u64>, Fault> {
        let answer = self.answered(self.agent.head(format!("{}/{name}", self.address)).call())?;
        let Some(answer) = answer else { return Ok(None) };
        let length = answer.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
        match length {
            Some(length) => Ok(Some(length)),
            None => Err(Fault::lasting(format!("`{}` sends no file sizes (`content-length`)", self.address))),
        }
    }

    fn put(&self, _name: &str, _bytes: Bytes, _go_on: &dyn Fn() -> bool) -> Result<(), Fault> {
        self.only_read()
    }

    fn create(&self, _name: &str, _bytes: Bytes) -> Result<bool, Fault> {
        self.only_read()
    }
}
