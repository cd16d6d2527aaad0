export const budgets = {
  title: 'Budgets',
  budget: 'Budget',
  scopes: { run: 'Each run', person_day: 'You, today (UTC)', team_day: 'The whole team, today (UTC)' } as const,
  used: 'Used',
  limit: 'Limit',
  share: 'Share',
  setBy: 'Set by',
  tokens: (count: string) => `${count} tokens`,
  none: '–',
}
