import type { ReactNode } from "react";
import { Button as AriaButton, type ButtonProps as AriaButtonProps } from "react-aria-components";
import { Link, type LinkProps } from "react-router";
import { cx } from "./classes";

export type ButtonTone = "primary" | "secondary" | "ghost" | "danger";
export type ButtonSize = "sm" | "md";

const BASE =
  "inline-flex items-center justify-center gap-1.5 rounded-md font-medium whitespace-nowrap select-none border transition-colors duration-100 disabled:opacity-50 disabled:cursor-not-allowed";
const TONES: Record<ButtonTone, string> = {
  primary: "border-transparent bg-accent text-on-accent hover:bg-accent-strong",
  secondary: "border-line-strong/60 bg-surface text-ink hover:bg-sunken",
  ghost: "border-transparent bg-transparent text-ink hover:bg-sunken",
  danger: "border-danger/50 bg-surface text-danger hover:bg-danger-soft",
};
const SIZES: Record<ButtonSize, string> = { sm: "h-7 px-2.5 text-sm", md: "h-9 px-3.5 text-sm" };

export function buttonClass(tone: ButtonTone = "secondary", size: ButtonSize = "md", extra?: string): string {
  return cx(BASE, TONES[tone], SIZES[size], extra);
}

export interface ButtonProps extends Omit<AriaButtonProps, "className" | "style" | "children"> {
  tone?: ButtonTone;
  size?: ButtonSize;
  className?: string;
  children?: ReactNode;
  /** What is being done meanwhile; shown instead of the label while `isPending`. */
  pendingLabel?: string;
}

/** A button. While pending it stays focusable, says what it does, and cannot be pressed again. */
export function Button({ tone, size, className, children, pendingLabel, isPending, ...props }: ButtonProps) {
  const pending = isPending === true;
  return (
    <AriaButton
      {...props}
      isPending={pending}
      className={buttonClass(tone, size, cx(pending && "opacity-70", className))}
    >
      {pending && pendingLabel ? pendingLabel : children}
    </AriaButton>
  );
}

export interface LinkButtonProps extends Omit<LinkProps, "className"> {
  tone?: ButtonTone;
  size?: ButtonSize;
  className?: string;
}

/** A link that looks like a button: it goes somewhere and changes nothing. */
export function LinkButton({ tone, size, className, ...props }: LinkButtonProps) {
  return <Link {...props} className={buttonClass(tone, size, className)} />;
}
