// Errors by whose fault they are: yours, the network's, the other side's, or too much at once.
// The same tree as `whispurrnet/base/errors.py`; decoders throw nothing but a ProtocolError.

/** What every error of this package is. */
export class WhispurrError extends Error {
  /** @param {string} message @param {ErrorOptions} [options] */
  constructor(message, options) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** You: the call or the setting was wrong. */
export class UsageError extends WhispurrError {}

/** Between: unreachable, timed out, closed. */
export class NetworkError extends WhispurrError {}

/** Too much: a bound was reached; later may help. */
export class LimitError extends WhispurrError {}

/** The other: broke the protocol. */
export class ProtocolError extends WhispurrError {}

/** The other: is not who it should be. */
export class AuthError extends ProtocolError {}

/** Somebody else answered than the one expected. */
export class IdentityChanged extends AuthError {}

/** The two sides do not both accept a level. */
export class DowngradeRefused extends AuthError {}

/** Both could do better than what was negotiated. */
export class DowngradeDetected extends AuthError {}
