// Cancelling a running query: a CancelRequest on a connection of its own, encrypted as the session's is.
// Source: PostgreSQL manual, "Canceling Requests in Progress". The server answers nothing: whether the query was
// cancelled shows in its own session.

import type { AuthenticatedConnection } from "./connect-host.ts";
import { connectionFailure, timeoutFailure } from "./connection-errors.ts";
import { encodeCancelRequest } from "./messages.ts";
import { loadTlsOptions } from "./tls.ts";
import { openTransport, TlsAttemptError } from "./transport.ts";

const CANCEL_TIMEOUT_MS = 10_000;

/** Asks the server to cancel what the connection runs; resolves when the server has taken the request. */
export async function cancelRequest(
  connection: Pick<AuthenticatedConnection, "settings" | "processId" | "secretKey" | "isTls">,
): Promise<void> {
  const { settings, isTls } = connection;
  if (connection.secretKey.length === 0) throw connectionFailure(settings, "the server gave no key for cancelling");
  const controller = new AbortController();
  const timer = setTimeout(() => {
    controller.abort(timeoutFailure({ ...settings, connectTimeoutMs: CANCEL_TIMEOUT_MS }, "cancelling a query"));
  }, CANCEL_TIMEOUT_MS);
  try {
    const { socket } = await openTransport(settings, {
      tls: isTls ? () => loadTlsOptions(settings) : null,
      needsTls: true,
      signal: controller.signal,
      createSocket: undefined,
    });
    await new Promise<void>((resolve) => {
      controller.signal.addEventListener("abort", () => void socket.destroy(), { once: true });
      socket.on("error", () => {}).on("close", () => resolve());
      socket.resume();
      socket.write(encodeCancelRequest(connection.processId, connection.secretKey));
    });
    controller.signal.throwIfAborted();
  } catch (error) {
    throw error instanceof TlsAttemptError ? error.failure : error;
  } finally {
    clearTimeout(timer);
  }
}
