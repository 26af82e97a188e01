import { EventEmitter } from "node:events";
import { describe, expect, test } from "vitest";
import { askSecret } from "./ask-secret.ts";
import { InterruptedError } from "./interrupted-error.ts";

class FakeTerminal extends EventEmitter {
  isRaw = false;
  written = "";
  readonly controller = new AbortController();

  setRawMode(isRaw: boolean): void {
    this.isRaw = isRaw;
  }

  resume(): void {}

  pause(): void {}

  ask(): Promise<string> {
    return askSecret("Passphrase: ", {
      input: this,
      write: (text) => (this.written += text),
      signal: this.controller.signal,
      interrupt: () => this.controller.abort(new InterruptedError("SIGINT")),
    });
  }

  type(...keys: (string | Buffer)[]): void {
    for (const key of keys) this.emit("data", Buffer.from(key as string));
  }
}

describe("askSecret()", () => {
  test("reads a line without echo, and leaves the terminal as it was", async () => {
    const terminal = new FakeTerminal();
    const asking = terminal.ask();
    expect(terminal.isRaw).toBe(true);
    terminal.type("se", "cret\r");
    expect(await asking).toBe("secret");
    expect([terminal.isRaw, terminal.written, terminal.listenerCount("data")]).toEqual([false, "Passphrase: \n", 0]);
  });

  test("erases characters and the line; takes characters byte by byte", async () => {
    const terminal = new FakeTerminal();
    const asking = terminal.ask();
    terminal.type("wrong\u0015ab🙂\u007fx\b");
    for (const byte of Buffer.from("é\n")) terminal.type(Buffer.of(byte));
    expect(await asking).toBe("abé");
  });

  test("is interrupted by Ctrl-C and by the signal", async () => {
    const byKey = new FakeTerminal();
    const asking = byKey.ask();
    byKey.type("abc\u0003");
    await expect(asking).rejects.toBeInstanceOf(InterruptedError);
    expect(byKey.isRaw).toBe(false);
    await expect(byKey.ask()).rejects.toBeInstanceOf(InterruptedError);
    const bySignal = new FakeTerminal();
    const waiting = bySignal.ask();
    bySignal.controller.abort(new InterruptedError("SIGTERM"));
    await expect(waiting).rejects.toThrow("interrupted by SIGTERM");
  });

  test("refuses a line without end", async () => {
    const terminal = new FakeTerminal();
    const asking = terminal.ask();
    terminal.type("x".repeat(2000));
    await expect(asking).rejects.toThrow("the passphrase is longer than 1024 characters");
  });
});
