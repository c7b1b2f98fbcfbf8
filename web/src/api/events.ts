/** Server-sent events: subscriptions that come back after a break, and answers that arrive in pieces. */
import { useEffect, useRef, useState } from "react";

/** First and longest pause before another try to connect. */
const RETRY_FIRST_MS = 500;
const RETRY_LAST_MS = 15_000;
/** Largest line of a stream, in characters. */
const LINE_CHARS_MAX = 16 * 1024 * 1024;

export interface ServerEvent {
  event: string;
  data: unknown;
  /** The event's number where the stream numbers its events. */
  id: string;
}

export type StreamState = "connecting" | "open" | "waiting" | "closed";

export interface Subscription {
  /** Path with its query; the last id is added as `after`. */
  url: string;
  /** Names of events to listen to, besides unnamed ones. */
  events: readonly string[];
  onEvent: (event: ServerEvent) => void;
  onState?: (state: StreamState) => void;
  /** Events up to this one are known. */
  after?: string;
}

/** Listens until the returned function is called; after a break it goes on behind the last event it had. */
export function subscribe({ url, events, onEvent, onState, after }: Subscription): () => void {
  let source: EventSource | null = null;
  let timer = 0;
  let pause = RETRY_FIRST_MS;
  let last = after ?? "";
  const listener = (message: MessageEvent<string>) => {
    if (message.lastEventId !== "") last = message.lastEventId;
    onEvent({ event: message.type, data: parse(message.data), id: message.lastEventId });
  };
  const connect = () => {
    onState?.("connecting");
    const target = new URL(url, location.origin);
    if (last !== "") target.searchParams.set("after", last);
    source = new EventSource(target);
    for (const name of ["message", ...events]) source.addEventListener(name, listener as EventListener);
    source.onopen = () => {
      pause = RETRY_FIRST_MS;
      onState?.("open");
    };
    source.onerror = () => {
      source?.close();
      onState?.("waiting");
      timer = window.setTimeout(connect, pause);
      pause = Math.min(pause * 2, RETRY_LAST_MS);
    };
  };
  connect();
  return () => {
    window.clearTimeout(timer);
    source?.close();
    onState?.("closed");
  };
}

function parse(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return data;
  }
}

/**
 * Listens while the component is there and `url` is not null. The handler may change from render to render;
 * the connection is made anew only for another url, list of events or starting point.
 */
export function useEventStream(
  url: string | null,
  events: readonly string[],
  onEvent: (event: ServerEvent) => void,
  after?: string,
): StreamState {
  const [state, setState] = useState<StreamState>("closed");
  const handler = useRef(onEvent);
  useEffect(() => {
    handler.current = onEvent;
  });
  const names = events.join(" ");
  useEffect(() => {
    if (url === null) return undefined;
    return subscribe({
      url,
      events: names.split(" ").filter(Boolean),
      onEvent: (event) => handler.current(event),
      onState: setState,
      ...(after === undefined ? {} : { after }),
    });
  }, [url, names, after]);
  return state;
}

/** A line of an event stream that means something: data, or a comment. */
export type StreamLine = { kind: "data"; text: string } | { kind: "comment"; text: string };

/** Reads an event stream answered to a POST. Ends when the connection does. */
export async function* readStream(body: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<StreamLine> {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  try {
    while (true) {
      const { value, done } = await reader.read();
      if (done) return;
      buffer += value;
      const lines = buffer.split("\n");
      buffer = lines.pop() ?? "";
      if (buffer.length > LINE_CHARS_MAX) throw new RangeError("a line of the answer is too long");
      for (const line of lines) {
        const read = streamLine(line.replace(/\r$/, ""));
        if (read !== null) yield read;
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** One line; null for blank lines and fields that nobody reads here. */
export function streamLine(line: string): StreamLine | null {
  if (line.startsWith(":")) return { kind: "comment", text: line.slice(1).trimStart() };
  if (line.startsWith("data:")) return { kind: "data", text: line.slice(5).trimStart() };
  return null;
}
