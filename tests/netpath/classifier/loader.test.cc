#include "netpath/classifier/loader.h"

#include <gtest/gtest.h>

#include "netpath/classifier/table.h"
#include "tests/netpath/classifier/veth.h"

namespace holdfast::netpath::classifier {

namespace {

// Goal: the program attaches in the mode that was asked for, as read back from the kernel, and goes
// with its last descriptor.
TEST(ClassifierLoader, AttachesAndDetaches) {
    if (!is_root()) GTEST_SKIP() << "needs root: BPF programs";
    const VethPair pair{"hfcl"};
    ASSERT_TRUE(pair.is_made());
    for (const XdpWish wish : {XdpWish::Native, XdpWish::Generic, XdpWish::Any}) {
        auto made = load_classifier({.interface_index = pair.near_index(), .mode = wish});
        ASSERT_TRUE(made) << static_cast<int>(made.error().step) << made.error().error.text();
        EXPECT_EQ(made->mode, wish == XdpWish::Generic ? XdpMode::Generic : XdpMode::Native);
        EXPECT_TRUE(made->hears_reclaim());
        const auto second = load_classifier({.interface_index = pair.near_index(), .mode = wish});
        ASSERT_FALSE(second);
        EXPECT_EQ(second.error().step, LoadStep::Attach);
        EXPECT_EQ(second.error().error.code(), EBUSY);
    }
}

}  // namespace

}  // namespace holdfast::netpath::classifier
