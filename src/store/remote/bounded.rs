//! Size limits for responses that the object store client reads into memory: error messages and responses to writes.

use std::future::Future;
use std::pin::Pin;

use futures_util::StreamExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

/// Response bytes beyond this are dropped. Tokens and error messages have a few KiB.
const MOST: usize = 256 << 10;

/// Connects like the object store's own connector, with limited responses.
#[derive(Debug)]
pub(super) struct Bounded;

impl HttpConnector for Bounded {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(BoundedService { client }))
    }
}

#[derive(Debug)]
struct BoundedService {
    client: HttpClient,
}

impl HttpService for BoundedService {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            // Object content is streamed, and the reader counts its bytes.
            let streams = request.method() == "GET";
            let answer = self.client.execute(request).await?;
            if streams && answer.status().is_success() {
                return Ok(answer);
            }
            let (head, body) = answer.into_parts();
            let mut pieces = body.bytes_stream();
            let mut bytes = Vec::new();
            while let Some(piece) = pieces.next().await {
                bytes.extend_from_slice(&piece?);
                if bytes.len() > MOST {
                    bytes = cut(bytes);
                    break;
                }
            }
            Ok(HttpResponse::from_parts(head, bytes.into()))
        })
    }
}

/// The first [`MOST`] bytes, cut at a character boundary: invalid UTF-8 would be a different error.
fn cut(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(MOST);
    if let Err(error) = std::str::from_utf8(&bytes)
        && error.error_len().is_none()
    {
        bytes.truncate(error.valid_up_to());
    }
    bytes
}
