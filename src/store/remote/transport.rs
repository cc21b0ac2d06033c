//! Requests of the object store client, sent by the client of all other remotes: its own would be a second HTTP stack. Calls block,
//! since each request to a remote has its own thread.
//!
//! Responses that the object store client reads into memory (error messages, responses to writes) have a size limit.

use std::future::{Future, poll_fn};
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};
use ureq::http::{Method, Request};
use ureq::{Agent, BodyReader, Proxy};

use super::agent::{agent, tls};

/// Response bytes beyond this are dropped. Tokens and error messages have a few KiB.
const MOST: usize = 256 << 10;

/// Largest piece of a streamed response, bytes.
const PIECE: usize = 64 << 10;

/// Opens clients that give up after `patience` without a response.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) patience: Duration,
}

impl HttpConnector for Transport {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let set = |key: ClientConfigKey| options.get_config_value(&key);
        let verified = set(ClientConfigKey::AllowInvalidCertificates).is_none_or(|value| value != "true");
        // A signature is for one host, so a redirect cannot be followed; the object store client explains it.
        let mut config =
            agent(self.patience).tls_config(tls(verified)).max_redirects(0).max_redirects_will_error(false);
        if let Some(url) = set(ClientConfigKey::ProxyUrl) {
            let unusable = |error: ureq::Error| object_store::Error::Generic { store: "HTTP", source: error.into() };
            config = config.proxy(Some(Proxy::new(&url).map_err(unusable)?));
        }
        Ok(HttpClient::new(BlockingService { agent: config.build().into() }))
    }
}

#[derive(Debug)]
struct BlockingService {
    agent: Agent,
}

impl HttpService for BlockingService {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            // Object content is streamed, and the reader counts its bytes.
            let streams = head.method == Method::GET;
            // An empty body has a length, too.
            let sends = !body.is_empty() || matches!(head.method, Method::POST | Method::PUT | Method::PATCH);
            let answer = if sends {
                let bytes = whole(body).await?;
                self.agent.run(Request::from_parts(head, &bytes[..]))
            } else {
                self.agent.run(Request::from_parts(head, ()))
            };
            let (head, body) = answer.map_err(failed)?.into_parts();
            let mut reader = body.into_with_config().limit(u64::MAX).reader();
            if streams && head.status.is_success() {
                let body = HttpResponseBody::new(StreamedBody { reader: Mutex::new(reader) });
                return Ok(HttpResponse::from_parts(head, body));
            }
            let mut bytes = Vec::new();
            reader.by_ref().take(MOST as u64).read_to_end(&mut bytes).map_err(broken)?;
            Ok(HttpResponse::from_parts(head, cut(bytes).into()))
        })
    }
}

/// The body of a request; it is in memory.
async fn whole(mut body: HttpRequestBody) -> Result<Bytes, HttpError> {
    let mut whole = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(piece) = frame?.into_data() else { continue };
        if whole.is_empty() && body.is_end_stream() {
            return Ok(piece);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}

/// The body of a response, read when it is polled.
struct StreamedBody {
    reader: Mutex<BodyReader<'static>>,
}

impl Body for StreamedBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let reader = self.get_mut().reader.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut piece = vec![0; PIECE];
        Poll::Ready(loop {
            match reader.read(&mut piece) {
                Ok(0) => break None,
                Ok(read) => {
                    piece.truncate(read);
                    break Some(Ok(Frame::data(piece.into())));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Some(Err(broken(error))),
            }
        })
    }
}

fn failed(error: ureq::Error) -> HttpError {
    let kind = match error {
        ureq::Error::Io(error) => return broken(error),
        ureq::Error::Timeout(_) => HttpErrorKind::Timeout,
        ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => HttpErrorKind::Connect,
        _ => HttpErrorKind::Unknown,
    };
    HttpError::new(kind, error)
}

fn broken(error: io::Error) -> HttpError {
    let kind = match error.kind() {
        io::ErrorKind::TimedOut => HttpErrorKind::Timeout,
        io::ErrorKind::ConnectionRefused => HttpErrorKind::Connect,
        io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => HttpErrorKind::Interrupted,
        _ => HttpErrorKind::Unknown,
    };
    HttpError::new(kind, error)
}

/// At most [`MOST`] bytes end at a character boundary: invalid UTF-8 would be a different error.
fn cut(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() == MOST
        && let Err(error) = std::str::from_utf8(&bytes)
        && error.error_len().is_none()
    {
        bytes.truncate(error.valid_up_to());
    }
    bytes
}
