/** Texts of records: contributors wrote them, so they are shown as text and never believed. */

export interface Part {
  label: string;
  text: string;
}

const text = (value: unknown): string => (typeof value === "string" ? value : (JSON.stringify(value) ?? ""));

/** A record's fields in the order in which people read them. */
export function recordParts(body: Readonly<Record<string, unknown>>): Part[] {
  if (Array.isArray(body.messages)) {
    return body.messages.map((turn: unknown) => {
      const { role, content } = (typeof turn === "object" && turn !== null ? turn : {}) as Record<
        string,
        unknown
      >;
      return { label: text(role ?? "turn"), text: text(content ?? turn) };
    });
  }
  const known = ["prompt", "response", "media", "text"].filter((name) => name in body);
  const names = known.length > 0 ? known : Object.keys(body);
  return names.map((name) => ({ label: name, text: text(body[name]) }));
}

/** Cuts long text for a table, between characters. */
export function excerpt(long: string, characters: number): string {
  const flat = long.replace(/\s+/g, " ").trim();
  const cut = [...flat.slice(0, characters * 2)].slice(0, characters).join("");
  return cut.length < flat.length ? `${cut.trimEnd()} …` : cut;
}
