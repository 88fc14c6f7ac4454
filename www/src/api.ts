/** Requests to the endpoints of the gateway. They never throw. */

import { TEXTS } from "./texts/common.ts";
import { PROBLEMS } from "./texts/problems.ts";

/** What went wrong, in words for the person, and what the page decides by. */
export interface Problem {
  title: string;
  detail?: string;
  /** The stable code. */
  code?: string;
  reason?: string;
  /** The name of the invalid field. */
  field?: string;
  requestId?: string;
}

export interface Success<T> {
  ok: true;
  status: number;
  data: T;
}

export interface Failure {
  ok: false;
  /** 0 if no answer came. */
  status: number;
  problem: Problem;
  /** The whole problem document. */
  data: Record<string, unknown>;
}

export type Answer<T> = Success<T> | Failure;

export interface Options {
  json?: unknown;
  /** With an idempotency key, a repeated request does nothing twice. */
  key?: string;
}

let endpoints = "/api";

/** Sets the prefix of the endpoints. */
export function useEndpoints(prefix: string) {
  endpoints = prefix;
}

/** Returns the URL of an endpoint. */
export function urlOf(path: string) {
  return endpoints + path;
}

/** Sends a request to an endpoint. */
export function call<T = unknown>(method: string, path: string, options?: Options) {
  return request<T>(method, urlOf(path), options);
}

/** Sends a request to any URL of this site. */
export async function request<T>(
  method: string,
  url: string,
  { json, key }: Options = {},
): Promise<Answer<T>> {
  const headers: Record<string, string> = { accept: "application/json" };
  if (json !== undefined) headers["content-type"] = "application/json";
  if (key) headers["idempotency-key"] = `"${key}"`;
  try {
    const body = json === undefined ? null : JSON.stringify(json);
    const response = await fetch(url, { method, headers, body });
    return await read<T>(response);
  } catch {
    return { ok: false, status: 0, problem: problemOf({ error: "unreachable" }), data: {} };
  }
}

async function read<T>(response: Response): Promise<Answer<T>> {
  const { ok, status } = response;
  const text = await response.text();
  const data = parse(text);
  if (ok && (data !== undefined || text === "")) return { ok, status, data: data as T };
  const document = Object(data) as Record<string, unknown>;
  const problem = problemOf(document, status, Number(response.headers.get("retry-after")));
  return { ok: false, status, problem, data: document };
}

function problemOf(document: Record<string, unknown>, status = 0, wait = 0): Problem {
  const text = (name: string) => {
    const value = document[name];
    return typeof value === "string" ? value : undefined;
  };
  const [code, reason] = [text("error"), text("reason")];
  const known = PROBLEMS[`${code}:${reason}`] ?? PROBLEMS[code ?? ""];
  const [title, knownDetail] = known ?? [text("title") ?? TEXTS.noAnswer(status)];
  const detail = wait > 0 ? TEXTS.wait(duration(wait)) : (knownDetail ?? text("detail"));
  return {
    title: sentence(title),
    detail: detail && sentence(detail),
    code,
    reason,
    field: text("field"),
    requestId: text("requestId"),
  };
}

function duration(seconds: number) {
  if (seconds < 100) return TEXTS.seconds(Math.ceil(seconds));
  if (seconds < 7_200) return TEXTS.minutes(Math.ceil(seconds / 60));
  return TEXTS.hours(Math.ceil(seconds / 3_600));
}

export function sentence(text: string) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Keeps an idempotency key for the same request until an answer came. So a request whose answer got lost is not carried
 * out twice.
 */
export function keyKeeper() {
  let held: { request: string; key: string } | undefined;
  return {
    keyOf(json: unknown) {
      const request = JSON.stringify(json);
      if (held?.request !== request) held = { request, key: crypto.randomUUID() };
      return held.key;
    },
    answered() {
      held = undefined;
    },
  };
}
