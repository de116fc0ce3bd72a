//! The terminal's mode, as it was before the line editor took it.

use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use std::io::stdin;

/// A terminal mode to go back to: a program that ends while a line is being edited would leave the
/// terminal without echo.
pub struct TerminalMode(Option<Termios>);

impl TerminalMode {
    /// The mode of the terminal at standard input.
    pub fn save() -> Self {
        TerminalMode(tcgetattr(stdin()).ok())
    }

    /// Goes back to it.
    pub fn restore(&self) {
        if let Some(mode) = &self.0 {
            let _ = tcsetattr(stdin(), SetArg::TCSADRAIN, mode);
        }
    }
}
