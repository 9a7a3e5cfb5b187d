//! What broker and registry are to their caller: a server beside it, with a thread and a runtime of its own, which may be started from
//! anywhere and ends when it is dropped.

use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::watch;

/// Says `true` when the server is to stop.
pub type Stopped = watch::Receiver<bool>;

#[derive(Debug)]
pub struct Server {
    name: &'static str,
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// Port 0 takes any free one. Connections wait until the listener is served.
pub fn bind(listen: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Server {
    pub fn start<F: Future<Output = ()>>(
        name: &'static str,
        listener: std::net::TcpListener,
        serve: impl FnOnce(TcpListener, Stopped) -> F + Send + 'static,
    ) -> io::Result<Server> {
        let address = listener.local_addr()?;
        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name(name).enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let (stop, stopped) = watch::channel(false);
        let run = move || runtime.block_on(serve(listener, stopped));
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Server { name, address, stop, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(server = self.name, "the server's thread panicked");
        }
    }
}
