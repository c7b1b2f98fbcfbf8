import { type ReactNode, useEffect, useId } from "react";
import { Link } from "react-router";
import { cx } from "./classes";

export interface PageProps {
  /** Heading of the page and, before the product's name, title of the tab. */
  title: string;
  /** What the heading shows where that is more than the title. */
  heading?: ReactNode;
  intro?: ReactNode;
  /** Buttons at the right of the heading. */
  actions?: ReactNode;
  /** Way back, above the heading. */
  back?: { to: string; label: string };
  children: ReactNode;
}

/** A page: one heading, what it is about, its content. */
export function Page({ title, heading, intro, actions, back, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} · OpenLedger`;
  }, [title]);
  return (
    <div className="mx-auto w-full max-w-[84rem] px-4 pt-6 pb-16 sm:px-6">
      {back && (
        <Link to={back.to} className="link mb-2 inline-block text-sm no-underline">
          ← {back.label}
        </Link>
      )}
      <div className="mb-5 flex flex-wrap items-start justify-between gap-x-6 gap-y-3">
        <div className="min-w-0 max-w-3xl">
          <h1 className="text-2xl font-semibold">{heading ?? title}</h1>
          {intro && <div className="mt-1.5 text-muted">{intro}</div>}
        </div>
        {actions && <div className="flex flex-wrap gap-2">{actions}</div>}
      </div>
      <div className="grid gap-5">{children}</div>
    </div>
  );
}

export interface CardProps {
  title?: ReactNode;
  /** A sentence under the title. */
  intro?: ReactNode;
  actions?: ReactNode;
  /** False where the content brings its own edges, as tables do. */
  padded?: boolean;
  /** Content takes the card's whole height, so that its last line stands at the bottom. */
  fill?: boolean;
  className?: string;
  children: ReactNode;
}

/** A section of a page with a heading of the second level. */
export function Card({ title, intro, actions, padded = true, fill = false, className, children }: CardProps) {
  const id = useId();
  return (
    <section
      aria-labelledby={title ? id : undefined}
      className={cx("min-w-0 rounded-lg border border-line bg-surface", fill && "flex flex-col", className)}
    >
      {(title || actions) && (
        <div className="flex flex-wrap items-start justify-between gap-x-4 gap-y-2 px-4 pt-3.5 sm:px-5">
          <div className="min-w-0">
            {title && (
              <h2 id={id} className="text-base font-semibold">
                {title}
              </h2>
            )}
            {intro && <div className="mt-0.5 max-w-3xl text-sm text-muted">{intro}</div>}
          </div>
          {actions && <div className="flex flex-wrap items-center gap-2">{actions}</div>}
        </div>
      )}
      <div
        className={cx(
          padded ? "px-4 pt-3 pb-4 sm:px-5" : Boolean(title) && "mt-3",
          fill && "flex flex-1 flex-col",
        )}
      >
        {children}
      </div>
    </section>
  );
}

/** Cards beside each other where there is room. */
export function Columns({ children, className }: { children: ReactNode; className?: string }) {
  return (
    <div
      className={cx(
        "grid gap-5 [grid-template-columns:repeat(auto-fit,minmax(min(22rem,100%),1fr))]",
        className,
      )}
    >
      {children}
    </div>
  );
}
