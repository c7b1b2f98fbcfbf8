/** What goes wrong between page and node, in words. */

/** The node refused: its status, the code that programs match, its sentence. */
export class ApiError extends Error {
  override name = "ApiError";
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly param: string | null = null,
    readonly retryAfterS: number | null = null,
  ) {
    super(message);
  }
}

/** The node did not answer at all. */
export class NetworkError extends Error {
  override name = "NetworkError";
  constructor(cause: unknown) {
    super("The node does not answer. Is it still running?", { cause });
  }
}

/** Reads a refusal in OpenAI's error shape, or whatever came instead. */
export async function refusal(response: Response): Promise<ApiError> {
  const retry = Number(response.headers.get("retry-after") ?? Number.NaN);
  const retryAfterS = Number.isFinite(retry) ? retry : null;
  const body: unknown = await response.json().catch(() => null);
  const error = field(body, "error");
  const message = text(field(error, "message")) ?? `The node answered with status ${response.status}.`;
  const code = text(field(error, "code")) ?? "unknown";
  return new ApiError(response.status, code, message, text(field(error, "param")), retryAfterS);
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

/** A title and a sentence for people, for anything thrown. */
export function describeError(error: unknown): { title: string; detail: string } {
  if (error instanceof NetworkError) return { title: "No answer", detail: error.message };
  if (error instanceof ApiError) return { title: title(error), detail: sentence(error.message) };
  if (error instanceof Error) return { title: "That did not work", detail: sentence(error.message) };
  return { title: "That did not work", detail: "No reason was given." };
}

function title({ status, code, retryAfterS }: ApiError): string {
  if (status === 404) return "Not found";
  if (status === 429)
    return retryAfterS ? `Too many requests; try again in ${retryAfterS} s` : "Too many requests";
  if (code === "not_owner" || status === 403) return "Not allowed";
  if (status === 401) return "Sign in first";
  return status >= 500 ? "The node failed" : "That was refused";
}

/** Server sentences begin in lower case and end without a full stop. */
function sentence(message: string): string {
  const trimmed = message.trim();
  const begun = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
