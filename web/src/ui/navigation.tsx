/** Tabs, menus, tips. */
import type { ReactNode } from "react";
import {
  Menu as AriaMenu,
  Tab as AriaTab,
  Tabs as AriaTabs,
  Tooltip as AriaTooltip,
  Focusable,
  MenuItem,
  MenuTrigger,
  Popover,
  TabList,
  TabPanel,
  TooltipTrigger,
} from "react-aria-components";
import { NavLink } from "react-router";
import { cx } from "./classes";

const TAB = "-mb-px border-b-2 px-1 pb-2 text-sm font-medium whitespace-nowrap";

/** Parts of one thing, each with its own address. */
export function NavTabs({
  label,
  tabs,
}: {
  label: string;
  tabs: readonly { to: string; label: ReactNode; end?: boolean }[];
}) {
  return (
    <nav aria-label={label} className="flex gap-5 overflow-x-auto border-b border-line">
      {tabs.map(({ to, label: text, end }) => (
        <NavLink
          key={to}
          to={to}
          end={end}
          preventScrollReset
          className={({ isActive }) =>
            cx(TAB, isActive ? "border-accent text-ink" : "border-transparent text-muted hover:text-ink")
          }
        >
          {text}
        </NavLink>
      ))}
    </nav>
  );
}

/** Views of one thing on one page. */
export function Tabs({
  label,
  tabs,
  selected,
  onSelect,
}: {
  label: string;
  tabs: readonly { id: string; label: ReactNode; content: ReactNode }[];
  selected?: string;
  onSelect?: (id: string) => void;
}) {
  return (
    <AriaTabs selectedKey={selected} onSelectionChange={(key) => onSelect?.(String(key))}>
      <TabList aria-label={label} className="flex gap-5 overflow-x-auto border-b border-line">
        {tabs.map((tab) => (
          <AriaTab
            key={tab.id}
            id={tab.id}
            className={cx(
              TAB,
              "cursor-pointer border-transparent text-muted data-[hovered]:text-ink data-[selected]:border-accent data-[selected]:text-ink",
            )}
          >
            {tab.label}
          </AriaTab>
        ))}
      </TabList>
      {tabs.map((tab) => (
        <TabPanel key={tab.id} id={tab.id} className="pt-4">
          {tab.content}
        </TabPanel>
      ))}
    </AriaTabs>
  );
}

export interface MenuAction {
  id: string;
  label: ReactNode;
  /** Plain text of the label, for typing ahead. */
  text: string;
  onAction?: () => void;
  href?: string;
  danger?: boolean;
}

/** A button that unfolds actions; `trigger` is the button. */
export function Menu({
  label,
  trigger,
  actions,
}: {
  label: string;
  trigger: ReactNode;
  actions: readonly MenuAction[];
}) {
  return (
    <MenuTrigger>
      {trigger}
      <Popover
        placement="bottom end"
        className="animate-appear min-w-48 rounded-md border border-line bg-surface p-1 shadow-raised"
      >
        <AriaMenu aria-label={label} className="outline-none">
          {actions.map((action) => (
            <MenuItem
              key={action.id}
              id={action.id}
              textValue={action.text}
              onAction={action.onAction}
              href={action.href}
              className={cx(
                "block cursor-pointer rounded px-2.5 py-1.5 text-sm outline-none data-[focused]:bg-sunken",
                action.danger && "text-danger",
              )}
            >
              {action.label}
            </MenuItem>
          ))}
        </AriaMenu>
      </Popover>
    </MenuTrigger>
  );
}

/** Explains a word or a number on hover and on focus. */
export function Tip({ text, children }: { text: ReactNode; children: ReactNode }) {
  return (
    <TooltipTrigger delay={250}>
      <Focusable>
        <span
          role="note"
          tabIndex={0}
          className="cursor-help underline decoration-dotted decoration-line-strong underline-offset-4"
        >
          {children}
        </span>
      </Focusable>
      <AriaTooltip
        offset={6}
        className="animate-appear max-w-72 rounded-md border border-line bg-surface px-3 py-2 text-sm shadow-raised"
      >
        {text}
      </AriaTooltip>
    </TooltipTrigger>
  );
}
