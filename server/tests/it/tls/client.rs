//! A server with a certificate of its own, and clients that trust its authority alone.

use crate::harness::Server;
use crate::hostile::authority::Authority;
use http::{Request, StatusCode, Version, header};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::fs::Permissions;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// For each connect, read and write.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct TlsServer {
    pub(crate) server: Server,
    pub(crate) authority: Authority,
    files: TempDir,
}

pub(crate) struct TlsClient {
    address: SocketAddr,
    config: Arc<ClientConfig>,
}

/// An answer over HTTP/2.
#[derive(Debug)]
pub(crate) struct Http2Answer {
    pub(crate) version: Version,
    pub(crate) status: StatusCode,
}

// === impl TlsServer ===

impl TlsServer {
    /// With a certificate that ends with the year 2039.
    pub(crate) fn start(arguments: &[&str]) -> TlsServer {
        let (authority, files) = (Authority::new(), tempfile::tempdir().unwrap());
        let (cert, key) = authority.pair(2040);
        write(files.path(), &cert, &key);
        let (cert, key) = paths(files.path());
        let tls = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
        let server = Server::start(&[&tls, arguments].concat());
        TlsServer { server, authority, files }
    }

    /// Writes another pair into the files of the first.
    pub(crate) fn replace(&self, cert: &str, key: &str) {
        write(self.files.path(), cert, key);
    }

    /// A client with these protocols.
    pub(crate) fn client(&self, alpn: &[&str]) -> TlsClient {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.authority.roots())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        // A session that is resumed shows the certificate that it began with.
        config.resumption = rustls::client::Resumption::disabled();
        assert_eq!(self.server.api_address().ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        TlsClient { address: self.server.api_address(), config: Arc::new(config) }
    }
}

fn paths(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join("cert.pem"), folder.join("key.pem"))
}

/// The name that certificates are for.
fn name() -> ServerName<'static> {
    ServerName::from(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Each file is replaced whole. The server may look between the two, and then sees a pair that does not match.
fn write(folder: &Path, cert: &str, key: &str) {
    let (cert_path, key_path) = paths(folder);
    for (path, text) in [(cert_path, cert), (key_path, key)] {
        let beside = path.with_extension("new");
        std::fs::write(&beside, text).unwrap();
        std::fs::set_permissions(&beside, Permissions::from_mode(0o640)).unwrap();
        std::fs::rename(beside, path).unwrap();
    }
}

// === impl TlsClient ===

impl TlsClient {
    /// A connection whose handshake is made.
    pub(crate) fn connect(&self) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let mut stream = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut session = ClientConnection::new(Arc::clone(&self.config), name()).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        Ok(StreamOwned::new(session, stream))
    }

    /// One request on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> io::Result<String> {
        exchange(&mut self.connect()?, path)
    }

    /// The certificate that a new connection is shown.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        let stream = self.connect().unwrap();
        stream.conn.peer_certificates().expect("the server shows one")[0].to_vec()
    }

    /// One request over HTTP/2.
    pub(crate) fn post_http2(&self, path: &str, key: &str, body: impl Into<bytes::Bytes>) -> Http2Answer {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let request = Request::post(format!("https://{}{path}", self.address))
            .header(header::AUTHORIZATION, format!("Bearer {key}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body.into()))
            .unwrap();
        let exchange = async {
            let stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.config));
            let stream = connector.connect(name(), stream).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let io = TokioIo::new(stream);
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            let answer = sender.send_request(request).await.unwrap();
            Http2Answer { version: answer.version(), status: answer.status() }
        };
        runtime.block_on(async { tokio::time::timeout(TIMEOUT, exchange).await }).expect("an answer in time")
    }
}

/// One request on a connection, which ends with the answer.
pub(crate) fn exchange(stream: &mut StreamOwned<ClientConnection, TcpStream>, path: &str) -> io::Result<String> {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
