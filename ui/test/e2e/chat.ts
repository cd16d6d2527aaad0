// What the tests do and look for in a conversation.
import type { Locator, Page } from 'playwright-core'

export async function ask(page: Page, text: string): Promise<void> {
  await page.getByRole('textbox', { name: 'Message' }).fill(text)
  await page.keyboard.press('Enter')
}

export const card = (page: Page): Locator => page.locator('[data-call]').last()
export const status = (page: Page, word: string): Locator => card(page).getByText(word, { exact: true })

/** Approve the last card, once it lets itself be approved. */
export const approve = (page: Page): Promise<void> => card(page).locator('[data-action=approve][aria-disabled=false]').click()

/** Deny the last card. */
export async function deny(page: Page, reason: string): Promise<void> {
  await card(page).getByRole('button', { name: 'Deny' }).click()
  await page.getByLabel('Reason').fill(reason)
  await page.getByRole('button', { name: 'Deny the change' }).click()
}
