import { expect, test } from 'vitest'
import { launch, open, shoot } from '../e2e/browser'
import { approve, ask, card, status } from '../e2e/chat'

/** The address of a running engine whose model knows this session. */
const ADDRESS = process.env['SKYFLO_ADDRESS'] ?? ''

test('a failed Helm upgrade is found, rolled back after one approval, and verified', async () => {
  const browser = await launch()
  try {
    const { page, faults } = await open(browser, ADDRESS)
    await ask(page, 'The shop is broken since the last upgrade. Find out why, and bring it back.')
    await card(page).getByRole('button', { name: 'Approve and run once' }).waitFor()
    await page.getByText('Read 2 things').first().waitFor()
    await card(page).locator('tr[data-kind=del]', { hasText: 'greeting: broken' }).first().waitFor()
    await card(page).locator('tr[data-kind=add]', { hasText: 'greeting: hello' }).first().waitFor()
    await shoot(page, 'failed-upgrade')
    await approve(page)
    await status(page, 'Done').waitFor()
    await page.getByText('Verified: revision 3 is deployed').waitFor()
    expect(faults).toEqual([])
  } finally {
    await browser.close()
  }
})
