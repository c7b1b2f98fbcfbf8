/** Joins class names; what is false or undefined is left out. */
export function cx(...names: (string | false | null | undefined)[]): string {
  return names.filter(Boolean).join(" ");
}

/** The label above a field, the box that is typed into, and what unfolds below it. */
export const LABEL = "text-sm font-medium";
export const INPUT =
  "w-full rounded-md border border-line-strong/70 bg-surface px-2.5 text-sm text-ink placeholder:text-muted/80 disabled:opacity-60 data-[invalid]:border-danger";
export const OPTIONS =
  "animate-appear max-h-80 min-w-(--trigger-width) overflow-auto rounded-md border border-line bg-surface p-1 shadow-raised";
export const OPTION =
  "cursor-pointer rounded px-2.5 py-1.5 text-sm outline-none data-[focused]:bg-sunken data-[selected]:font-medium";
