import { memo, type ReactNode, useMemo } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import { cx } from "../../ui/classes";
import { CopyButton } from "../../ui/values";
import { type HtmlNode, markTree, type Piece } from "./spans";

/** Backgrounds by part of the influence, from weak to strong. */
const INFLUENCE = ["", "bg-second/10", "bg-second/20", "bg-second/30", "bg-second/45"];

/** A background that is the stronger, the larger the part (0 to 1) is; none for no influence. */
export function influenceClass(part: number): string {
  if (!(part > 0)) return "";
  const level = Math.min(INFLUENCE.length - 1, 1 + Math.floor(part * (INFLUENCE.length - 1)));
  return INFLUENCE[level] ?? "";
}

export interface AnswerTextProps {
  text: string;
  /** Passages over the text; none while it is being written. */
  pieces?: readonly Piece[];
  /** Part of the influence of those whose records hold a passage, by its number. */
  influence?: readonly number[];
  onSpans?: (spans: readonly number[]) => void;
}

const NO_PIECES: readonly Piece[] = [];

/** An answer as Markdown: code can be copied, quoted passages are buttons. */
export const AnswerText = memo(function AnswerText({
  text,
  pieces = NO_PIECES,
  influence,
  onSpans,
}: AnswerTextProps) {
  const components = useMemo(() => componentsWith(influence ?? [], onSpans), [influence, onSpans]);
  const mark = useMemo(
    () => () => (tree: unknown) => markTree(tree as HtmlNode, text, pieces),
    [text, pieces],
  );
  return (
    <div className="prose min-w-0">
      <ReactMarkdown remarkPlugins={[remarkGfm]} rehypePlugins={[mark]} components={components}>
        {text}
      </ReactMarkdown>
    </div>
  );
});

function componentsWith(
  influence: readonly number[],
  onSpans?: (spans: readonly number[]) => void,
): Components {
  return {
    // Images would be requests to hosts that the text names; they become links.
    a: ({ href, children }) => <OutsideLink href={href}>{children}</OutsideLink>,
    img: ({ src, alt }) => (
      <OutsideLink href={typeof src === "string" ? src : undefined}>{alt || "image"}</OutsideLink>
    ),
    table: ({ children }) => (
      <div className="overflow-x-auto">
        <table>{children}</table>
      </div>
    ),
    pre: ({ node, children }) => (
      <div className="relative mt-3">
        <pre tabIndex={0} className="pr-10">
          {children}
        </pre>
        <span className="absolute top-1.5 right-1.5 rounded bg-surface">
          <CopyButton text={textOf(node as HtmlNode | undefined)} label="Copy the code" />
        </span>
      </div>
    ),
    mark: ({ node, children }) => {
      const named = (node as HtmlNode | undefined)?.properties?.["data-spans"];
      const spans = String(named ?? "")
        .split(" ")
        .filter(Boolean)
        .map(Number);
      const part = Math.max(0, ...spans.map((span) => influence[span] ?? 0));
      return (
        <PassageButton part={part} onPress={() => onSpans?.(spans)}>
          {children}
        </PassageButton>
      );
    },
  };
}

function OutsideLink({ href, children }: { href?: string; children: ReactNode }) {
  return (
    <a href={href} rel="noreferrer noopener nofollow" target="_blank" className="link">
      {children}
    </a>
  );
}

/** A passage that stands word for word in the training data. It breaks over lines, which a `button` cannot. */
function PassageButton({
  part,
  onPress,
  children,
}: {
  part: number;
  onPress: () => void;
  children: ReactNode;
}) {
  return (
    <mark
      // biome-ignore lint/a11y/noNoninteractiveElementToInteractiveRole: see above
      role="button"
      tabIndex={0}
      aria-haspopup="dialog"
      title="Stands word for word in the training data: show the records"
      onClick={onPress}
      onKeyDown={(event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        onPress();
      }}
      className={cx(
        "cursor-pointer rounded-xs text-ink underline decoration-accent decoration-2 underline-offset-3 hover:decoration-4",
        influenceClass(part) || "bg-transparent",
      )}
    >
      {children}
    </mark>
  );
}

function textOf(node: HtmlNode | undefined): string {
  if (node === undefined) return "";
  return node.value ?? (node.children ?? []).map(textOf).join("");
}
