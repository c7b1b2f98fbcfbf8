import ReactMarkdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import { cx } from "./classes";

/** Images would be requests to hosts that the text names; they become links. */
const COMPONENTS: Components = {
  a: ({ href, children }) => (
    <a href={href} rel="noreferrer noopener nofollow" target="_blank" className="link">
      {children}
    </a>
  ),
  img: ({ src, alt }) => (
    <a
      href={typeof src === "string" ? src : undefined}
      rel="noreferrer noopener nofollow"
      target="_blank"
      className="link"
    >
      {alt || "image"}
    </a>
  ),
  table: ({ children }) => (
    <div className="overflow-x-auto">
      <table>{children}</table>
    </div>
  ),
};

/** Text from outside as Markdown: no HTML, no images, only safe links. */
export function Markdown({ text, className }: { text: string; className?: string }) {
  return (
    <div className={cx("prose", className)}>
      <ReactMarkdown remarkPlugins={[remarkGfm]} components={COMPONENTS} skipHtml={false}>
        {text}
      </ReactMarkdown>
    </div>
  );
}
