import { useEffect, useRef, useSyncExternalStore } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import type { Schemas } from '../../api/client'
import { engineNow } from '../../stream/clock'
import { analytics as words } from '../../words/en/analytics'
import { cost, count } from '../../words/format'
import css from './Analytics.module.css'

type Day = Schemas['DayFigures']
const HEIGHT = 180
const DAY_MS = 86_400_000
const HALF_DAY_S = 43_200
const bars = uPlot.paths.bars?.({ size: [0.6, 28] })

interface Props {
  title: string
  /** The days that have figures. */
  days: Day[]
  /** How many days are drawn, up to today. */
  range: number
  value: (day: Day) => number
  unit?: 'count' | 'dollars'
}

/** One figure by day as bars. Drawn on a canvas, so the table beside it is what a screen reader reads. */
export function DailyChart({ title, days, range, value, unit = 'count' }: Props) {
  const frame = useRef<HTMLDivElement>(null)
  const theme = useSyncExternalStore(watchTheme, () => document.documentElement.dataset['theme'])

  useEffect(() => {
    const element = frame.current
    if (!element) return undefined
    const plot = new uPlot(options(title, element, unit), pointsOf(days, range, value), element)
    const watcher = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: HEIGHT }))
    watcher.observe(element)
    return () => {
      watcher.disconnect()
      plot.destroy()
    }
    // oxlint-disable-next-line react/exhaustive-deps -- the theme changes the colours, which are read from the page
  }, [days, range, theme, title, unit, value])

  return (
    <div className={css.chart}>
      <h2>{title}</h2>
      <div ref={frame} role="img" aria-label={words.chart(title)} />
    </div>
  )
}

function watchTheme(onChange: () => void): () => void {
  const observer = new MutationObserver(onChange)
  observer.observe(document.documentElement, { attributeFilter: ['data-theme'] })
  return () => observer.disconnect()
}

/** A point for each day of the range, by UTC: a day without figures is 0. */
function pointsOf(days: Day[], range: number, value: (day: Day) => number): [number[], number[]] {
  const known = new Map(days.map((day) => [day.day, value(day)]))
  const today = Math.floor(engineNow() / DAY_MS)
  const at = Array.from({ length: range }, (_, index) => (today - range + 1 + index) * DAY_MS)
  return [at.map((time) => time / 1000), at.map((time) => known.get(new Date(time).toISOString().slice(0, 10)) ?? 0)]
}

function options(title: string, element: HTMLElement, unit: 'count' | 'dollars'): uPlot.Options {
  const style = getComputedStyle(element)
  const token = (name: string) => style.getPropertyValue(name).trim()
  const axis = { stroke: token('--ink-3'), grid: { stroke: token('--line'), width: 1 }, ticks: { show: false } }
  const label = (amount: number) => (unit === 'dollars' ? cost(amount) : count(amount))
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), 'UTC'),
    scales: { x: { range: (_, first, last) => [first - HALF_DAY_S, last + HALF_DAY_S] }, y: { range: (_, __, most) => [0, Math.max(most, unit === 'dollars' ? 0.01 : 1) * 1.1] } },
    axes: [axis, { ...axis, size: 56, values: (_, ticks) => ticks.map(label) }],
    series: [{}, { label: title, fill: token('--accent'), width: 0, ...(bars && { paths: bars }), points: { show: false } }],
  }
}
