//! The far end of exec: stdin to the agent's socket, and the socket to stdout.

use std::path::Path;

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy};

use super::Connection;
use super::socket;

/// Connects this process's stdin and stdout with the agent until either side has ended.
///
/// A client that has gone closes stdin, and nothing else tells of it: so the end of stdin is an
/// end as well.
pub(crate) async fn run(path: &Path) -> Result<()> {
    let connection = socket::open(path).await?;
    relay(connection, tokio::io::stdin(), tokio::io::stdout())
        .await
        .context("the connection to the agent broke")
}

async fn relay(
    connection: Connection,
    mut input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    let Connection {
        mut asking,
        mut answers,
        ..
    } = connection;
    tokio::select! {
        asked = copy(&mut input, &mut asking) => asked.map(drop),
        answered = copy(&mut answers, &mut output) => {
            answered?;
            output.flush().await
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, DuplexStream, duplex, split};

    use super::super::End;
    use super::*;

    fn connection() -> (DuplexStream, Connection) {
        let (agent, client) = duplex(1024);
        let (answers, asking) = split(client);
        let connection = Connection {
            asking: Box::new(asking),
            answers: Box::new(answers),
            end: End::Silent,
        };
        (agent, connection)
    }

    #[tokio::test]
    async fn what_comes_in_goes_to_the_agent_and_back_until_the_agent_ends() {
        let (mut agent, connection) = connection();
        let (mut client, ours) = duplex(1024);
        let (input, output) = split(ours);
        let relayed = tokio::spawn(relay(connection, input, output));
        client.write_all(b"question\n").await.expect("written");
        let mut asked = [0; 9];
        agent.read_exact(&mut asked).await.expect("asked");
        assert_eq!(&asked, b"question\n");
        agent.write_all(b"answer\n").await.expect("answered");
        drop(agent);
        relayed.await.expect("no panic").expect("relayed");
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("read");
        assert_eq!(answer, "answer\n");
    }

    #[tokio::test]
    async fn a_client_that_goes_ends_the_relay() {
        let (_agent, connection) = connection();
        let input = tokio::io::empty();
        relay(connection, input, Vec::new()).await.expect("an end");
    }
}
