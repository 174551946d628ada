/* The USB controller as a device (RP2040 datasheet 4.1): what the examples use of USBCTRL_REGS and the USB RAM. */
#ifndef EXAMPLES_USB_H
#define EXAMPLES_USB_H

#include "registers.h"

#define RESETS_PLL_USB (1u << 13)
#define RESETS_USBCTRL (1u << 24)
#define PLL_USB_CS 0x4002c000u
#define PLL_USB_PWR 0x4002c004u
#define PLL_USB_FBDIV_INT 0x4002c008u
#define PLL_USB_PRIM 0x4002c00cu
#define CLK_USB_CTRL 0x40008054u
#define CLK_USB_ENABLE (1u << 11) /* from PLL_USB, the reset value of its source */

#define USB_ADDR_ENDP 0x50110000u
#define USB_MAIN_CTRL 0x50110040u
#define USB_MAIN_CTRL_CONTROLLER_EN 1u
#define USB_SIE_CTRL 0x5011004cu
#define USB_SIE_CTRL_PULLUP_EN (1u << 16)
#define USB_SIE_CTRL_EP0_INT_1BUF (1u << 29)
#define USB_SIE_STATUS 0x50110050u
#define USB_SIE_STATUS_SETUP_REC (1u << 17)
#define USB_SIE_STATUS_BUS_RESET (1u << 19)
#define USB_BUFF_STATUS 0x50110058u
#define USB_EP_STALL_ARM 0x50110068u
#define USB_MUXING 0x50110074u
#define USB_MUXING_TO_PHY (1u << 0)
#define USB_MUXING_SOFTCON (1u << 3)
#define USB_PWR 0x50110078u
#define USB_PWR_VBUS_DETECT (1u << 2)
#define USB_PWR_VBUS_DETECT_OVERRIDE_EN (1u << 3)
#define USB_INTE 0x50110090u
#define USB_INTS 0x50110098u
#define USB_INT_BUFF_STATUS (1u << 4)
#define USB_INT_BUS_RESET (1u << 12)
#define USB_INT_SETUP_REQ (1u << 16)
#define USBCTRL_IRQ 5u

#define USB_DPRAM 0x50100000u
#define USB_DPRAM_BYTES 4096u
#define USB_EP_CTRL(ep, out) REGISTER(USB_DPRAM + 8u * (ep) + 4u * (out)) /* ep 1 to 15 */
#define USB_EP_CTRL_ENABLE (1u << 31)
#define USB_EP_CTRL_INT_1BUF (1u << 29)
#define USB_EP_CTRL_BULK (2u << 26)
#define USB_EP_CTRL_INTERRUPT (3u << 26)
#define USB_BUF_CTRL(ep, out) REGISTER(USB_DPRAM + 0x80u + 8u * (ep) + 4u * (out))
#define USB_BUF_FULL (1u << 15)
#define USB_BUF_DATA1 (1u << 13)
#define USB_BUF_STALL (1u << 11)
#define USB_BUF_AVAILABLE (1u << 10)
#define USB_BUF_LENGTH 0x3ffu
#define USB_EP0_BUFFER 0x100u /* offsets in the USB RAM */
#define USB_FIRST_BUFFER 0x180u

#endif
