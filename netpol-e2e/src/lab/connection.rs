//! A TCP connection that stays open: what conntrack is about.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use super::outcome::{Answer, Outcome};

/// A connection to a lab's server, past its greeting.
pub struct Connection {
    reader: BufReader<TcpStream>,
    answer: Answer,
    sent: u32,
    /// A line of which only the start has come so far.
    partial: Vec<u8>,
}

impl Connection {
    /// Waits for the server's greeting.
    pub(crate) fn greeted(stream: TcpStream, timeout: Duration) -> Result<Self, Outcome> {
        let prepared = stream.set_nodelay(true);
        prepared.map_err(|error| Outcome::of(&error))?;
        let mut connection = Self {
            reader: BufReader::new(stream),
            answer: Answer {
                by: String::new(),
                seen_as: SocketAddr::from(([0, 0, 0, 0], 0)),
            },
            sent: 0,
            partial: Vec::new(),
        };
        let line = connection.line(Instant::now() + timeout)?;
        connection.answer =
            Answer::parse(&line).ok_or(Outcome::NotAsked(io::ErrorKind::InvalidData))?;
        Ok(connection)
    }

    /// Who answered, and as whom it sees us.
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Our address and port.
    ///
    /// # Errors
    ///
    /// Those of `getsockname`.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.reader.get_ref().local_addr()
    }

    /// Sends a line and waits for this very line to come back.
    ///
    /// What is lost on the way TCP sends again, so a line from the past may come first; it is
    /// skipped.
    pub fn echo(&mut self, timeout: Duration) -> Outcome {
        self.say()
            .and_then(|word| self.hear(&word, timeout))
            .err()
            .unwrap_or(Outcome::Reached)
    }

    /// Sends a line and does not wait for it.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub fn say(&mut self) -> Result<String, Outcome> {
        self.sent += 1;
        let word = format!("line {}", self.sent);
        let mut stream = self.reader.get_ref();
        stream
            .write_all(format!("{word}\n").as_bytes())
            .map_err(|error| Outcome::of(&error))?;
        Ok(word)
    }

    /// Waits for a line sent before to come back.
    ///
    /// # Errors
    ///
    /// When it does not come in time, or the connection has ended.
    pub fn hear(&mut self, word: &str, timeout: Duration) -> Result<(), Outcome> {
        let deadline = Instant::now() + timeout;
        while self.line(deadline)? != word {}
        Ok(())
    }

    /// Ends the connection with a reset at once, so that its port is free for the next.
    pub fn reset(self) {
        let stream = self.reader.into_inner();
        let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }

    fn line(&mut self, deadline: Instant) -> Result<String, Outcome> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Outcome::TimedOut);
            }
            let stream = self.reader.get_ref();
            let read = stream
                .set_read_timeout(Some(left))
                .and_then(|()| self.reader.read_until(b'\n', &mut self.partial));
            match read {
                Ok(_) if self.partial.ends_with(b"\n") => {
                    let line = std::mem::take(&mut self.partial);
                    return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
                }
                Ok(_) => return Err(Outcome::Refused),
                // What `read_until` got before the time-out stays in `partial`.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Outcome::of(&error)),
            }
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("answer", &self.answer)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}
